import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from PIL import Image

from metarl.core.errors import FamilyError, RunError
from metarl.evaluation.video import film


class Fading(gymnasium.Env):
    """A square that is lighter after every step by the action; ends when it is as light as it can be."""

    observation_space = spaces.Box(0, 255, (1,), np.float32)
    action_space = spaces.Discrete(100)

    def __init__(self, picture=True):
        self.picture, self.closed = picture, False

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.light = 10 * seed
        return np.full(1, self.light, np.float32), {}

    def step(self, action):
        self.light += action
        return np.full(1, self.light, np.float32), 0.0, self.light >= 200, False, {}

    def render(self):
        return np.full((8, 8, 3), self.light, np.uint8) if self.picture else None

    def close(self):
        self.closed = True


def frames_of(path):
    with Image.open(path) as picture:
        found = []
        for number in range(picture.n_frames):
            picture.seek(number)
            found.append(int(np.asarray(picture.convert("L"))[0, 0]))
    return found


def test_a_film_shows_the_episode_from_its_start_to_its_end(tmp_path):
    env = Fading()
    film(lambda observation: 50, env, 100, tmp_path / "f.gif", seed=1)
    assert frames_of(tmp_path / "f.gif") == [10, 60, 110, 160, 210]
    assert env.closed
    # Actions are those of the policy, and the horizon cuts.
    film(lambda observation: int(observation[0]), Fading(), 2, tmp_path / "g.gif", seed=2)
    assert frames_of(tmp_path / "g.gif") == [20, 40, 80]


def test_what_cannot_be_filmed_is_said(tmp_path):
    with pytest.raises(FamilyError, match="the environment renders NoneType; expected an RGB array"):
        film(lambda observation: 50, Fading(picture=False), 3, tmp_path / "f.gif", seed=1)
    with pytest.raises(RunError, match="cannot be written"):
        film(lambda observation: 50, Fading(), 3, tmp_path / "none" / "f.gif", seed=1)

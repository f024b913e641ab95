"""Environments with images as observations. Imports no torch, since worker processes import it."""

import gymnasium
import numpy as np
from gymnasium import spaces

from metarl.families.declared import declare_family
from metarl.families.family import TaskFamily
from metarl.families.splits import UniformSplits


class Lamps(gymnasium.Env):
    """Two lamps in an image, one of which is lit; the reward is for the side of the lit one, or against it."""

    observation_space = spaces.Box(0, 255, (6, 8, 3), np.uint8)
    action_space = spaces.Discrete(2)

    def __init__(self, towards=1.0):
        self.towards = towards

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._draw(), {}

    def step(self, action):
        reward = self.towards * (1.0 if action == self.side else -1.0)
        return self._draw(), reward, False, False, {}

    def _draw(self):
        self.side = int(self.np_random.integers(2))
        image = np.zeros(self.observation_space.shape, np.uint8)
        image[1:5, 1:4, 0] = 255 * (self.side == 0)
        image[1:5, 5:8, 1] = 255 * (self.side == 1)
        return image


class LampsWithPlace(gymnasium.ObservationWrapper):
    """The same with a dictionary."""

    def __init__(self, towards=1.0):
        super().__init__(Lamps(towards))
        self.observation_space = spaces.Dict({"image": Lamps.observation_space, "place": spaces.Discrete(3)})

    def observation(self, observation):
        return {"image": observation, "place": np.int64(1)}


TOWARDS = spaces.Dict({"towards": spaces.Box(-1.0, 1.0, ())})

LAMPS = declare_family(Lamps, TOWARDS, horizon=4, name="lamps")

PLACES = declare_family(LampsWithPlace, TOWARDS, horizon=4, name="places")


class NativeLamps(TaskFamily):
    """A family that flattens nothing."""

    name = "native-lamps"
    task_space = TOWARDS
    splits = UniformSplits(TOWARDS)
    horizon = 4
    observation_space = Lamps.observation_space
    action_space = Lamps.action_space

    def make(self, task, *, render_mode=None):
        return gymnasium.wrappers.TimeLimit(Lamps(float(task["towards"])), self.horizon)

    def set_task(self, env, task):
        env.unwrapped.towards = float(task["towards"])


NATIVE = NativeLamps()

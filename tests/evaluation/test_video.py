import ctypes.util
import os
import shlex
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from PIL import Image

from metarl.core.errors import ConfigError, FamilyError, RunError
from metarl.evaluation.video import _has_egl_device, choose_renderer, film, filming_env
from metarl.families.declared import declare_family
from tests.helpers.slides import Slide, Slides


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


class Dark(Fading):
    def render(self):
        raise RuntimeError("an OpenGL platform library has not been loaded into this process")


def without_render_mode(picture=1):
    return Fading(bool(picture))


def with_render_mode(picture=1, render_mode=None):
    return Dark() if picture == 2 else Fading(bool(picture))


def with_anything(picture=1, **options):
    return Fading(bool(picture))


SPACE = spaces.Dict({"picture": spaces.Discrete(3)})


def env_to_film(make, picture=1, path=Path("f.gif")):
    return filming_env(declare_family(make, SPACE, horizon=3), {"picture": np.int64(picture)}, path, 1)


def test_an_environment_is_rendered_once_before_it_is_filmed():
    for make in (with_render_mode, with_anything):
        env = env_to_film(make)
        assert env.unwrapped.light == 10
        env.close()


@pytest.mark.parametrize(
    ("make", "picture", "message"),
    [
        (
            without_render_mode,
            1,
            r"^--video: family 'without_render_mode': without_render_mode takes no render_mode; give",
        ),
        (with_render_mode, 0, r"^--video: the environment renders NoneType; expected an RGB array"),
        (
            with_render_mode,
            2,
            r"RuntimeError: an OpenGL .*; MuJoCo renders without a screen by EGL \(libegl1\) or OSMesa",
        ),
    ],
)
def test_what_cannot_be_filmed_is_said_beforehand(make, picture, message):
    with pytest.raises(FamilyError, match=message) as caught:
        env_to_film(make, picture)
    assert "\n" not in str(caught.value)


def test_a_family_of_ones_own_that_takes_no_render_mode_is_told_so():
    class Plain(Slides):
        def make(self, task):
            return Slide(task)

    task = {"goal": 0.1, "drift": 0.1}
    with pytest.raises(
        FamilyError, match=r"^--video: family 'slides': TypeError: .*; let what makes the environment take"
    ):
        filming_env(Plain(), task, Path("f.gif"), 1)


def test_a_writer_that_is_not_installed_is_named_beforehand(monkeypatch):
    monkeypatch.setattr("metarl.evaluation.video.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"^--video = f\.mp4; its writer is not installed; pip install"):
        env_to_film(with_render_mode, path=Path("f.mp4"))


@pytest.mark.parametrize(
    ("given", "device", "osmesa", "chosen"),
    [
        ({}, True, None, "egl"),
        ({}, False, "libOSMesa.so", "osmesa"),
        ({}, False, None, None),
        ({"MUJOCO_GL": "glfw"}, True, None, "glfw"),
        ({"DISPLAY": ":0"}, True, None, None),
    ],
)
def test_mujoco_renders_without_a_screen_by_what_is_installed(monkeypatch, given, device, osmesa, chosen):
    for name in ("MUJOCO_GL", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
        if name in given:
            monkeypatch.setenv(name, given[name])
    monkeypatch.delitem(sys.modules, "mujoco", raising=False)
    monkeypatch.setattr("metarl.evaluation.video._has_egl_device", lambda: device)
    monkeypatch.setattr("ctypes.util.find_library", lambda name: osmesa)
    choose_renderer()
    assert os.environ.get("MUJOCO_GL") == chosen
    monkeypatch.delenv("MUJOCO_GL", raising=False)


def test_after_mujoco_is_imported_nothing_is_chosen(monkeypatch):
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setitem(sys.modules, "mujoco", sys)
    monkeypatch.setattr("metarl.evaluation.video._has_egl_device", lambda: True)
    choose_renderer()
    assert "MUJOCO_GL" not in os.environ


FAMILY = """
import gymnasium
from gymnasium.spaces import Box, Dict
import metarl

SPACE = Dict({"_forward_reward_weight": Box(0.5, 2.0, ())})

def seen(render_mode=None):
    return gymnasium.make("Hopper-v5", render_mode=render_mode, width=32, height=32).unwrapped

def unseen():
    return gymnasium.make("Hopper-v5").unwrapped

hoppers = metarl.declare_family(seen, SPACE, horizon=3)
hidden = metarl.declare_family(unseen, SPACE, horizon=3)
"""


def test_the_command_films_mujoco_without_a_screen_or_refuses_before_it_adapts(tmp_path):
    pytest.importorskip("mujoco", reason="mujoco is not installed (extra mujoco)")
    (tmp_path / "hoppers_of_a_user.py").write_text(FAMILY)
    screenless = {name: value for name, value in os.environ.items()
                  if name not in ("MUJOCO_GL", "DISPLAY", "WAYLAND_DISPLAY")}  # fmt: skip

    def call(line):
        command = [sys.executable, "-m", "metarl", *shlex.split(line)]
        return subprocess.run(command, cwd=tmp_path, env=screenless, capture_output=True, text=True, check=False)

    train = "train maml --family hoppers_of_a_user:hoppers --run-dir run --iterations 0 --validation-tasks 0"
    adapt = "adapt run --task '{\"_forward_reward_weight\": 1.0}' --episodes 2 --out p.safetensors --video p.gif"
    assert call(train).returncode == 0
    done = call(f"{adapt} --family hoppers_of_a_user:hidden")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("metarl: error: --video: family 'unseen': unseen takes no render_mode; give it the ")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "p.safetensors").exists()
    done = call(adapt)
    if _has_egl_device() or ctypes.util.find_library("OSMesa"):
        assert (done.returncode, done.stderr) == (0, "")
        assert (tmp_path / "p.gif").exists()
    else:
        assert (done.returncode, done.stdout) == (2, "")
        assert "EGL (libegl1) or OSMesa (libosmesa6): neither was found" in done.stderr

"""Families that several tests use. Imports no torch, since worker processes import it."""

import os
import time
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from metarl.core.errors import FamilyError
from metarl.families.analytic import AnalyticFamily
from metarl.families.declared import declare_family
from metarl.families.ids.installed import registered
from metarl.families.registry import load_family
from metarl.families.splits import UniformSplits


def pendulum(**options):
    return declare_family(
        "Pendulum-v1", spaces.Dict({"g": spaces.Box(5.0, 15.0, ()), "m": spaces.Box(0.5, 2.0, ())}), **options
    )


def draw(family, n, split, seed=0):
    return family.sample_tasks(n, split, np.random.default_rng(seed))


class Corridor(gymnasium.Env):
    """Reward is the length that only the constructor knows; observations are nested."""

    observation_space = spaces.Dict({"place": spaces.Discrete(3), "speed": spaces.Box(-1, 1, (2,))})
    action_space = spaces.Discrete(2)

    def __init__(self, size=1):
        self._size = size

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return {"place": 1, "speed": np.zeros(2, np.float32)}, {}

    def step(self, action):
        return {"place": 2, "speed": np.ones(2, np.float32)}, float(self._size), False, False, {}


PENDULUM = pendulum()


class Countdown(AnalyticFamily):
    """Ends after `length` steps; reward: the time. Knows when an episode must end."""

    name = "countdown"
    horizon = 6
    observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = spaces.Box(-1, 1, (1,), np.float32)
    task_space = spaces.Dict({"length": spaces.Discrete(9, start=1)})
    splits = UniformSplits(task_space)

    def initial(self, task, noise):
        start = noise.new_zeros((*noise.shape[:-1], 1))
        return start, start

    def step(self, task, state, action, noise):
        state = state + 1
        return state, state, state[..., 0], state[..., 0] >= task["length"]


class Noisy(Countdown):
    """Starts at a random place, drifts at random and never ends."""

    initial_noise = 1
    step_noise = 2

    def initial(self, task, noise):
        return noise, noise

    def step(self, task, state, action, noise):
        state = state + noise.sum(-1, keepdim=True) + 0.1 * action
        return state, state, -state[..., 0], state[..., 0] > 1e9


class Ragged(Countdown):
    """Ends at random after one to six steps; the observation drifts, and the reward depends on both and the action."""

    initial_noise = 1
    step_noise = 2

    def initial(self, task, noise):
        return noise, noise

    def step(self, task, state, action, noise):
        state = 0.8 * state + noise[..., :1] + 0.3 * action
        return state, state, state[..., 0] - 0.1 * task["length"], noise[..., 1] > 0.7


class Cue(AnalyticFamily):
    """The first observation of every step but the first is zero; the last action has to repeat the first observation.

    A policy without memory gets 0 on average, whatever it does: the cue is 1 or -1 with equal chances.
    """

    name = "cue"
    horizon = 4
    initial_noise = 1
    observation_space = spaces.Box(-1, 1, (2,), np.float32)
    action_space = spaces.Discrete(2)
    task_space = spaces.Dict({"length": spaces.Discrete(9, start=1)})
    splits = UniformSplits(task_space)

    def initial(self, task, noise):
        state = noise.new_zeros((*noise.shape[:-1], 2))
        state[..., 0] = 2 * (noise[..., 0] > 0.5) - 1
        return state, state

    def step(self, task, state, action, noise):
        cue, time = state[..., 0], state[..., 1] + 1
        after, seen = state.clone(), state.clone()
        after[..., 1], seen[..., 0], seen[..., 1] = time, 0, time / self.horizon
        last = time == self.horizon
        return after, seen, last * cue * (2.0 * action - 1), last


def lengths(*values):
    return {"length": np.array(values)}


SHORT_PENDULUM = declare_family("Pendulum-v1", spaces.Dict({"g": spaces.Box(5.0, 15.0, ())}), horizon=10)


def load_or_skip(name, variant=None):
    """A registered family; the test is skipped where the extra that it needs is not installed."""
    try:
        return load_family(name, variant)
    except FamilyError as error:
        if "metarl-toolkit[" in str(error):
            pytest.skip(str(error))
        raise


class Troubled(gymnasium.Env):
    """Ends, raises, dies or hangs at the third step, as its task says; recovers where a file says that it may."""

    observation_space = spaces.Box(-1, 1, (1,), np.float32)
    action_space = spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self, trouble=0):
        self.trouble = trouble

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self.np_random.uniform(-1, 1, 1).astype(np.float32), {}

    def step(self, action):
        self.steps += 1
        if self.steps == 3 and self.trouble:
            trouble, mark = self.trouble, os.environ.get("TROUBLED_ONCE")
            if mark is None or not Path(mark).exists():
                if mark is not None:
                    Path(mark).touch()
                if trouble == 1:
                    raise ValueError("the motor is on fire")
                if trouble == 2:
                    os._exit(7)
                if trouble == 3:
                    time.sleep(600)
                return self.np_random.uniform(-1, 1, 1), 0.0, True, False, {}
        return self.np_random.uniform(-1, 1, 1).astype(np.float32), float(action[0]), False, False, {}


TROUBLED = declare_family(Troubled, spaces.Dict({"trouble": spaces.Discrete(5)}), horizon=6)


class Reaching(gymnasium.Env):
    """Says success in the `at`-th step after its seed, which resets do not begin anew, and ends after `ends` steps."""

    observation_space = spaces.Box(-1, 1, (1,), np.float32)
    action_space = spaces.Box(-1, 1, (1,), np.float32)
    called = "success"

    def __init__(self, at=1, ends=1):
        self.at, self.ends = at, ends

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.total = 0 if seed is not None else self.total
        self.steps = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.total += 1
        self.steps += 1
        info = {self.called: float(self.total == self.at)}
        return (
            self.np_random.uniform(-1, 1, 1).astype(np.float32),
            float(action[0]),
            self.steps == self.ends,
            False,
            info,
        )


class Seldom(Reaching):
    """Says something of success where there is one, and nothing elsewhere."""

    called = "is_success"

    def step(self, action):
        *found, info = super().step(action)
        return *found, {name: True for name, value in info.items() if value}


TASKS = spaces.Dict({"at": spaces.Discrete(8, start=1), "ends": spaces.Discrete(8, start=1)})
HORIZON = 6
REACHING = declare_family(Reaching, TASKS, horizon=HORIZON)
SELDOM = declare_family(Seldom, TASKS, horizon=HORIZON)


def by_hand(tasks):
    """Whether each task's episode, the first after its seed, reaches success."""
    return (tasks["at"] <= np.minimum(tasks["ends"], HORIZON)).astype(float)


def needs(name):
    """Skip the test where the packages of a family that ships are not installed."""
    entry = registered()[name]
    package = {"metarl_envs.meta_world": "metaworld"}.get(entry.module)
    if package is None and name.startswith(("cheetah", "ant", "humanoid", "walker", "hopper")):
        package = "mujoco"
    if package is not None:
        pytest.importorskip(package, reason=f"the {package} extra is not installed")

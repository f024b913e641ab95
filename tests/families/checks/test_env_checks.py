"""`metarl check` on families that are whole, and on families with one fault each."""

import sys
import threading
import types

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit

from metarl.families.checks import env_checks
from metarl.families.checks.under_test import UnderTest
from metarl.families.declared import declare_family
from tests.helpers.slides import LIMIT, Slide, Slides, failures, over


class Widening(Slide):
    def __init__(self, task):
        super().__init__(task)
        self.observation_space = spaces.Box(-20, 20, (1 + (self.goal > 0),), np.float32)

    def observed(self):
        return np.full(self.observation_space.shape, self.place, np.float32)


class NotANumber(Slide):
    def step(self, action):
        observation, reward, *rest = super().step(action)
        return (observation, np.sqrt(self.place - 3) if self.place < 3 else reward, *rest)


class DoublePrecision(Slide):
    def observed(self):
        return np.array([self.place])


class OutOfBounds(Slide):
    observation_space = spaces.Box(-1, 1, (1,), np.float32)


class OutOfBoundsFamily(Slides):
    env = OutOfBounds
    observation_space = OutOfBounds.observation_space


class NoInfo(Slide):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)[0]


class Unseeded(Slide):
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = np.random.uniform(-0.1, 0.1)
        return self.observed(), {}


class Driftless(Slide):
    def __init__(self, task):
        super().__init__(task)
        self.drift = 0.1


class DriftlessFamily(Slides):
    env = Driftless

    def set_task(self, env, task):
        env.unwrapped.goal = float(task["goal"])


class Compounding(Slides):
    def set_task(self, env, task):
        env.unwrapped.goal = float(task["goal"])
        env.unwrapped.drift = env.unwrapped.drift / 2 + float(task["drift"])


class HalfSet(Slides):
    def set_task(self, env, task):
        env.unwrapped.goal = float(task["goal"])


class Forgetful(Slide):
    started = False

    def reset(self, *, seed=None, options=None):
        if self.started:
            self.goal = 0.5
        self.started = True
        return super().reset(seed=seed)


class Rewound(Slide):
    """Forgets its task only when an episode has ended."""

    def __init__(self, task):
        super().__init__(task)
        self.steps = 0

    def step(self, action):
        self.steps += 1
        if self.steps == LIMIT:
            self.drift = 0.0
        return super().step(action)

    def reset(self, *, seed=None, options=None):
        self.steps = 0
        return super().reset(seed=seed)


class Unlimited(Slides):
    def make(self, task, *, render_mode=None):
        return self.env(task)


class LimitAsEnd(Slide):
    def reset(self, *, seed=None, options=None):
        self.steps = 0
        return super().reset(seed=seed)

    def step(self, action):
        observation, reward, *_ = super().step(action)
        self.steps += 1
        return observation, reward, self.steps >= LIMIT, False, {}


class LimitAsEndFamily(Slides):
    env = LimitAsEnd

    def make(self, task, *, render_mode=None):
        return self.env(task)


class ShortLimit(Slides):
    def make(self, task, *, render_mode=None):
        return TimeLimit(self.env(task), LIMIT - 2)


class EpisodeMajor(Slides):
    """Lanes in the wrong order."""

    def make_vec(self, tasks, episodes):
        vector = super().make_vec(tasks, episodes)
        order = [env_index % 3 for env_index in range(6)]
        for env_index, env in enumerate(vector.envs):
            self.set_task(env.env, {name: values[order[env_index] % len(values)] for name, values in tasks.items()})
        return vector


class HoldsALock(Slides):
    def __init__(self):
        self.lock = threading.Lock()


class Raises(Slide):
    def step(self, action):
        raise RuntimeError("the motor is on fire")


@pytest.mark.parametrize(
    ("family", "check", "found", "hint"),
    [
        (over(Widening), "spaces", "observation space Box(-20.0, 20.0, (2,)", "padded"),
        (over(NotANumber), "values", "reward of step 0 is not finite: nan", "overflows"),
        (over(DoublePrecision), "values", "is float64 of shape (1,)", "the shape and dtype of the space"),
        (OutOfBoundsFamily(), "values", "is outside its bounds", "widen observation_space"),
        (over(NoInfo), "gymnasium", "AssertionError", "gymnasium's documentation"),
        (over(Unseeded), "repeatable", "same task and seed: observation after 0 steps", "self.np_random"),
        (DriftlessFamily(), "task matters", "'drift' has no effect", "reward, dynamics or observation"),
        (Compounding(), "re-tasking", "set_task to B is not make(B)", "derived quantities"),
        (HalfSet(), "re-tasking", "set_task to B is not make(B)", "derived quantities"),
        (over(Forgetful), "sticky task", "change the next episode: reward of step 0", "leave it alone in reset"),
        (over(Rewound), "sticky task", "change the next episode", "leave it alone in reset"),
        (Unlimited(), "time limit", "not truncated after 12 steps", "TimeLimit(env, horizon)"),
        (LimitAsEndFamily(), "time limit", "terminated at the time limit of 12 steps", "truncated"),
        (ShortLimit(), "time limit", "truncated after 10 steps; the horizon is 12", "make both the same"),
        (EpisodeMajor(), "batch", "make_vec, sub-environment 1 (task 0), step 0: observation is", "task-major"),
        (HoldsALock(), "workers", "cannot pickle", "not in the family"),
        (over(Raises), "values", "RuntimeError: the motor is on fire", "test_env_checks.py, line "),
    ],
    ids=lambda value: getattr(value, "name", None) and (type(value).__name__ + "-" + value.env.__name__),
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:invalid value")
def test_each_fault_is_found_and_its_mending_said(family, check, found, hint):
    finding = failures(family)[check]
    assert found in finding.found
    assert hint in finding.hint


def test_the_checker_of_stable_baselines3_runs_where_it_is_installed(monkeypatch):
    """A stand-in for the package, which is no dependency: what it complains about is reported, and it sees the family's
    environment."""
    seen = []

    def check_env(env, *, skip_render_check):
        seen.append(env.unwrapped)
        raise AssertionError("the action space is odd")

    checker = types.ModuleType("stable_baselines3.common.env_checker")
    checker.check_env = check_env
    for name in ("stable_baselines3", "stable_baselines3.common"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, checker.__name__, checker)
    found = failures(Slides())
    assert list(found) == ["stable-baselines3"]
    assert found["stable-baselines3"].found == "AssertionError: the action space is odd"
    assert isinstance(seen[0], Slide)


class Keeping(Slides):
    """Keeps what it was given: the second task is never left again."""

    def set_task(self, env, task):
        if not hasattr(env, "kept"):
            env.kept = task
            super().set_task(env, task)


def test_a_task_that_is_not_left_again_is_found():
    assert "task A, then B, then A again is not A" in failures(Keeping())["re-tasking"].found


def test_an_effect_of_a_rare_event_is_found():
    """In Blackjack the rule of Sutton and Barto matters where both have 21 and only the player has it by two cards."""
    family = declare_family("Blackjack-v1", spaces.Dict({"sab": spaces.Discrete(2)}), horizon=10)
    assert env_checks.task_matters(UnderTest(family)) == "every parameter changes the episode"


class Reach(Slide):
    """A goal environment in gymnasium's sense, with dictionaries of goals."""

    observation_space = spaces.Dict(
        {n: spaces.Box(-20, 20, (1,)) for n in ("observation", "achieved_goal", "desired_goal")}
    )
    drift = 0.1

    def __init__(self, goal=0.5):
        self.goal = goal

    def observed(self):
        place, goal = (np.array([value], np.float32) for value in (self.place, self.goal))
        return {"observation": place, "achieved_goal": place, "desired_goal": goal}

    def compute_reward(self, achieved, desired, info):
        return -np.abs(achieved - desired).sum(-1)


def test_a_goal_environment_passes_the_checker_of_stable_baselines3_flattened():
    pytest.importorskip("stable_baselines3", reason="stable-baselines3 is not installed (extra sb3)")
    family = declare_family(Reach, spaces.Dict({"goal": spaces.Box(-1.0, 1.0, ())}), horizon=12)
    assert env_checks.sb3_checker(UnderTest(family)) == "passed"

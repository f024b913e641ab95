import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit

from metarl.families.checks.check import check_family
from metarl.families.family import TaskFamily
from metarl.families.splits import UniformSplits

LIMIT = 12


class Slide(gymnasium.Env):
    """A point on a line is pushed, drifts and is rewarded for being near its goal."""

    observation_space = spaces.Box(-20, 20, (1,), np.float32)
    action_space = spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self, task):
        self.goal, self.drift = float(task["goal"]), float(task["drift"])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = self.np_random.uniform(-0.1, 0.1)
        return self.observed(), {}

    def step(self, action):
        self.place += float(action[0]) + self.drift
        return self.observed(), -abs(self.place - self.goal), False, False, {}

    def observed(self):
        return np.array([self.place], np.float32)


class Slides(TaskFamily):
    """A whole family; each fault below changes one thing."""

    name = "slides"
    horizon = LIMIT
    task_space = spaces.Dict(
        {"goal": spaces.Box(-1.0, 1.0, (), np.float32), "drift": spaces.Box(0.0, 0.3, (), np.float32)}
    )
    observation_space = Slide.observation_space
    action_space = Slide.action_space
    splits = UniformSplits(task_space)
    env = Slide

    def make(self, task, *, render_mode=None):
        return TimeLimit(self.env(task), LIMIT)

    def set_task(self, env, task):
        env.unwrapped.goal, env.unwrapped.drift = float(task["goal"]), float(task["drift"])


def failures(family):
    return {finding.check: finding for finding in check_family(family) if finding.verdict == "fail"}


def over(slide):
    """The family over another environment."""
    return type("Faulty", (Slides,), {"env": slide})()

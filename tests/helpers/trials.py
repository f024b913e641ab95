"""Environments whose every step and reset is counted, to compare trials with."""

import gymnasium
import numpy as np
from gymnasium import spaces

from metarl.families.family import TaskFamily
from metarl.families.splits import UniformSplits


class Diary(gymnasium.Env):
    """Episodes of random length, terminated or truncated at random; writes down all that happens.

    The observation is (task, number of resets, step of the episode) in one array that changes in place, and the reward
    100 times the episode plus the step. Without `lengths` the generator draws one of 1 to 5 steps.
    """

    observation_space = spaces.Box(-1, 1000, (3,), np.float64)
    action_space = spaces.Box(-2.0, 1.0, (1,), np.float32)
    metadata = {"render_modes": ["ansi"]}  # noqa: RUF012 (gymnasium's own declaration)

    def __init__(self, task=0, lengths=None, render_mode=None):
        self.task, self.lengths, self.render_mode = task, lengths, render_mode
        self.resets, self.steps, self.seeds, self.options, self.actions = 0, 0, [], [], []
        self._place = np.zeros(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.resets += 1
        self.seeds.append(seed)
        self.options.append(options)
        drawn = self.np_random.integers(1, 6)
        self.length = drawn if self.lengths is None else self.lengths[(self.resets - 1) % len(self.lengths)]
        self.truncates = bool(self.np_random.integers(2))
        self._place[:] = self.task, self.resets, 0
        return self._place, {"begun": self.resets}

    def step(self, action):
        self.steps += 1
        self.actions.append(action)
        self._place[2] += 1
        end = self._place[2] == self.length
        reward = 100 * self.resets + self._place[2]
        return (
            self._place,
            reward,
            bool(end and not self.truncates),
            bool(end and self.truncates),
            {"total": self.steps},
        )

    def render(self):
        return f"task {self.task}"


class Diaries(TaskFamily):
    """A family of diaries, whose bounds depend on the task; the horizon is not enforced by the environment."""

    name = "diaries"
    horizon = 4
    observation_space, action_space = Diary.observation_space, Diary.action_space
    task_space = spaces.Dict({"task": spaces.Discrete(9)})
    splits = UniformSplits(task_space)

    def make(self, task, *, render_mode=None):
        env = Diary(int(task["task"]), render_mode=render_mode)
        env.observation_space = spaces.Box(-1 - env.task, 1000, (3,), np.float64)
        return env

    def set_task(self, env, task):
        env.unwrapped.task = int(task["task"])

"""Environments whose success can be computed by hand. It imports no torch, since workers import it."""

import gymnasium
import numpy as np
from gymnasium import spaces

from metarl.families.declared import declare_family


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

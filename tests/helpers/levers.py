"""Environments with several choices as actions. Imports no torch, since worker processes import it."""

import gymnasium
import numpy as np
from gymnasium import spaces

from metarl.families.declared import declare_family


class Levers(gymnasium.Env):
    """The reward is the number of levers that stand where the task wants them."""

    observation_space = spaces.Box(-1, 1, (1,))
    action_space = spaces.MultiDiscrete([3, 2], start=[1, 0])

    def __init__(self, wanted=0):
        self.wanted = wanted

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        first, second = self.places(action)
        reward = float(first == 1 + self.wanted) + float(second == self.wanted % 2)
        return np.zeros(1, np.float32), reward, False, False, {}

    def places(self, action):
        return action


class Switches(Levers):
    """The same with two bits."""

    action_space = spaces.MultiBinary(2)

    def places(self, action):
        return action[0] + 1, action[1]


class Pairs(Levers):
    """The same with a tuple."""

    action_space = spaces.Tuple([spaces.Discrete(3, start=1), spaces.MultiBinary(1)])

    def places(self, action):
        return action[0], action[1][0]


WANTED = spaces.Dict({"wanted": spaces.Discrete(2)})

LEVERS, SWITCHES, PAIRS = (
    declare_family(kind, WANTED, horizon=3, name=kind.__name__.lower()) for kind in (Levers, Switches, Pairs)
)

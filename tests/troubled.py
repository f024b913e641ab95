"""A family with troubles, for the tests of workers. It imports no torch, since every worker imports it."""

import os
import time
from pathlib import Path

import gymnasium
import numpy as np
from gymnasium import spaces

from metarl.families.declared import declare_family


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

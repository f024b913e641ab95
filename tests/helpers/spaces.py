"""Spaces of observations that several tests use."""

import numpy as np
from gymnasium import spaces

IMAGE = spaces.Box(0, 255, (8, 6, 3), np.uint8)

PARTS = spaces.Dict(
    {
        "image": IMAGE,
        "speed": spaces.Box(-1, 1, (2,)),
        "direction": spaces.Discrete(4),
        "levers": spaces.MultiDiscrete([2, 3]),
        "lamps": spaces.MultiBinary(2),
    }
)

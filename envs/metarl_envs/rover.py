"""A rover that turns and drives; the target direction is unobserved, so no single policy solves all tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from gymnasium import spaces

from metarl.families.analytic import AnalyticFamily
from metarl_envs.splits import DrawnSplits, directions

if TYPE_CHECKING:
    from torch import Tensor

TURN = 0.3
COST = 0.01


class RoverDirection(AnalyticFamily):
    """Heading h <- h + 0.3 a_1, observed as (cos h, sin h); reward a_0 (cos h, sin h) . d - 0.01 |a|^2.

    The initial heading is uniform; horizon 50, without termination. The hidden unit vector d is the task.
    """

    name = "rover-direction"
    horizon = 50
    initial_noise = 1
    observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    task_space = spaces.Dict({"direction": spaces.Box(-1.0, 1.0, (2,), np.float32)})
    splits = DrawnSplits(directions("direction"))
    protocol: Mapping[str, str] = {
        "reward": "speed along d - 0.01 |a|^2",
        "actions": "speed and turn, clipped to [-1, 1]",
        "end": "never",
    }

    def initial(self, task: Mapping[str, Tensor], noise: Tensor) -> tuple[Tensor, Tensor]:
        """A uniform heading."""
        import math

        heading = 2 * math.pi * noise[..., 0]
        return heading, _facing(heading)

    def step(
        self, task: Mapping[str, Tensor], state: Tensor, action: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Turn, then drive."""
        import torch

        heading = state + TURN * action[..., 1]
        facing = _facing(heading)
        along = (facing * task["direction"]).sum(-1)
        reward = action[..., 0] * along - COST * action.square().sum(-1)
        return heading, facing, reward, torch.zeros_like(reward, dtype=torch.bool)


def _facing(heading: Tensor) -> Tensor:
    import torch

    return torch.stack([heading.cos(), heading.sin()], -1)

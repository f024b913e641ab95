"""Point corner: four corners, one of them rewarding, and no signal near the start (Rothfuss et al. 2019, appendix D).

Averaging over tasks does not solve it: whoever goes to one corner never learns about the other three.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from gymnasium import spaces

from metarl.families.analytic import AnalyticFamily
from metarl.families.splits import shared_splits

if TYPE_CHECKING:
    from torch import Tensor

CORNERS = ((-2.0, -2.0), (-2.0, 2.0), (2.0, -2.0), (2.0, 2.0))
START_RANGE = 0.2
STEP_LIMIT = 0.2
SILENT_WITHIN = 0.5


class PointCorner(AnalyticFamily):
    """Reward: progress towards the goal where the goal is the nearest corner, none within L1 0.5 of the origin.

    Start uniform in [-0.2, 0.2]^2, steps of at most 0.2 a coordinate, horizon 100, never done; observation: the
    position. The four corners serve training and test alike, as published.
    """

    name = "point-corner"
    horizon = 100
    initial_noise = 2
    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = spaces.Box(-STEP_LIMIT, STEP_LIMIT, (2,), np.float32)
    task_space = spaces.Dict({"corner": spaces.Discrete(len(CORNERS))})
    splits = shared_splits([{"corner": np.int64(i)} for i in range(len(CORNERS))])
    protocol: Mapping[str, str] = {
        "reward": "decrease of |position - goal| where the goal is the nearest corner; 0 within L1 0.5 of the origin",
        "actions": "clipped to [-0.2, 0.2]",
        "end": "never",
    }

    def initial(self, task: Mapping[str, Tensor], noise: Tensor) -> tuple[Tensor, Tensor]:
        start = START_RANGE * (2 * noise - 1)
        return start, start

    def step(
        self, task: Mapping[str, Tensor], state: Tensor, action: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        import torch

        position = state + action
        corners = torch.tensor(CORNERS, dtype=state.dtype, device=state.device)
        goal = corners[task["corner"]]
        progress = (state - goal).square().sum(-1).sqrt() - (position - goal).square().sum(-1).sqrt()
        # The nearest corner is the one in whose quadrant the point lies.
        nearest = (position * goal > 0).all(-1)
        heard = position.abs().sum(-1) > SILENT_WITHIN
        reward = torch.where(nearest & heard, progress, 0.0)
        return position, position, reward, torch.zeros_like(reward, dtype=torch.bool)

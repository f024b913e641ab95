"""Point corner: one of four corners is the goal, without reward near the start (Rothfuss et al. 2019, appendix D).

A policy that is averaged over tasks does not solve it: it moves to one corner and gets no reward of the other three.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
from gymnasium import spaces

from metarl.families.analytic import AnalyticFamily
from metarl.families.family import known_variant
from metarl.families.splits import shared_splits

if TYPE_CHECKING:
    from torch import Tensor

CORNERS = ((-2.0, -2.0), (-2.0, 2.0), (2.0, -2.0), (2.0, 2.0))
START_RANGE = 0.2
STEP_LIMIT = 0.2
SILENT_WITHIN = 0.5


class _Variant(NamedTuple):
    description: str
    action_bound: float
    action_scale: float
    actions: str


VARIANTS = {
    "raw-action": _Variant(
        "the policy's action is the step, clipped to +-0.2: ProMP's environment without its wrapper",
        STEP_LIMIT, 1.0, "clipped to [-0.2, 0.2]",
    ),
    "promp": _Variant(
        "policy actions in [-10, 10] scaled to steps of +-0.2, as ProMP trains (normalized_env.py, scale 10)",
        10.0, STEP_LIMIT / 10, "clipped to [-10, 10], divided by 50",
    ),
}  # fmt: skip


class PointCorner(AnalyticFamily):
    """Reward: progress towards the goal if the goal is the nearest corner; zero within L1 distance 0.5 of the origin.

    The start is uniform in [-0.2, 0.2]^2, a step is at most 0.2 per coordinate, the horizon 100, without termination.
    The observation is the position. The four corners are used for both training and test, as published. With unit
    standard deviation every first episode of `raw-action` leaves the region without reward; with `promp` about four in
    ten do.

    Args:
        variant: A key of `VARIANTS`.
    """

    name = "point-corner"
    variants: ClassVar[Mapping[str, str]] = {name: v.description for name, v in VARIANTS.items()}
    horizon = 100
    initial_noise = 2
    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    task_space = spaces.Dict({"corner": spaces.Discrete(len(CORNERS))})
    splits = shared_splits([{"corner": np.int64(i)} for i in range(len(CORNERS))])

    def __init__(self, variant: str = "raw-action") -> None:
        self.variant = known_variant(self.name, variant, VARIANTS)
        self._variant = chosen = VARIANTS[variant]
        self.action_space = spaces.Box(-chosen.action_bound, chosen.action_bound, (2,), np.float32)
        self.protocol = {
            "reward": "decrease of |position - goal| where the goal is the nearest corner; 0 within L1 0.5 of the "
            "origin",
            "actions": chosen.actions,
            "end": "never",
        }

    def initial(self, task: Mapping[str, Tensor], noise: Tensor) -> tuple[Tensor, Tensor]:
        """Position uniform in [-0.2, 0.2]^2."""
        start = START_RANGE * (2 * noise - 1)
        return start, start

    def step(
        self, task: Mapping[str, Tensor], state: Tensor, action: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Move by the scaled action."""
        import torch

        position = state + action * self._variant.action_scale
        corners = torch.tensor(CORNERS, dtype=state.dtype, device=state.device)
        goal = corners[task["corner"]]
        progress = (state - goal).square().sum(-1).sqrt() - (position - goal).square().sum(-1).sqrt()
        # The nearest corner is the one in the same quadrant.
        nearest = (position * goal > 0).all(-1)
        heard = position.abs().sum(-1) > SILENT_WITHIN
        reward = torch.where(nearest & heard, progress, 0.0)
        return position, position, reward, torch.zeros_like(reward, dtype=torch.bool)

"""Moving in a hidden direction: two quick families, one that averaging can solve and one that it cannot.

Both are quick to train and meant for comparisons of methods. In `point-direction` any initialisation, a random one too,
reaches the best return in one step at a high enough rate, so it separates nothing; in `coupled-direction` the
direction of the policy gradient vanishes at zero mean action, where joint training sits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from gymnasium import spaces

from metarl.families.analytic import AnalyticFamily
from metarl_envs.splits import DrawnSplits, directions

if TYPE_CHECKING:
    from torch import Tensor

INERTIA = 0.8
GAIN = 0.2


class _Direction(AnalyticFamily):
    """Velocity v, observed, from rest: v <- 0.8 v + 0.2 push(action); reward v . d - cost |action|^2; horizon 50."""

    horizon = 50
    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    task_space = spaces.Dict({"direction": spaces.Box(-1.0, 1.0, (2,), np.float32)})
    splits = DrawnSplits(directions("direction"))
    cost: ClassVar[float]

    def push(self, action: Tensor) -> Tensor:
        """The acceleration (*lanes, 2) that an action asks for."""
        raise NotImplementedError

    def initial(self, task: Mapping[str, Tensor], noise: Tensor) -> tuple[Tensor, Tensor]:
        rest = noise.new_zeros((*noise.shape[:-1], 2))
        return rest, rest

    def step(self, task: Mapping[str, Tensor], state: Any, action: Tensor, noise: Tensor) -> tuple[Any, ...]:
        import torch

        velocity = INERTIA * state + GAIN * self.push(action)
        reward = (velocity * task["direction"]).sum(-1) - self.cost * action.square().sum(-1)
        return velocity, velocity, reward, torch.zeros_like(reward, dtype=torch.bool)


class PointDirection(_Direction):
    """The action is the push; cost 0.05."""

    name = "point-direction"
    action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    cost = 0.05
    protocol: Mapping[str, str] = {
        "reward": "v . d - 0.05 |a|^2",
        "actions": "clipped to [-1, 1]",
        "end": "never",
    }

    def push(self, action: Tensor) -> Tensor:
        return action


class CoupledDirection(_Direction):
    """The push is the product of the action's two halves, a saddle at zero; cost 0.01."""

    name = "coupled-direction"
    action_space = spaces.Box(-1.0, 1.0, (4,), np.float32)
    cost = 0.01
    protocol: Mapping[str, str] = {
        "reward": "v . d - 0.01 |a|^2",
        "actions": "clipped to [-1, 1]",
        "end": "never",
    }

    def push(self, action: Tensor) -> Tensor:
        return action[..., :2] * action[..., 2:]

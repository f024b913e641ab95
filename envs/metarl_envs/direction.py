"""Movement in a hidden direction: two families that train quickly, for comparisons of methods.

In `point-direction` any initialisation, even a random one, reaches the best return in one step with a high enough
learning rate, so the family does not separate methods. In `coupled-direction` the policy gradient vanishes at zero mean
action, the point to which joint training converges.
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
    """Velocity v <- 0.8 v + 0.2 push(action), from rest; reward v . d - cost |action|^2; horizon 50; v is observed."""

    horizon = 50
    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    task_space = spaces.Dict({"direction": spaces.Box(-1.0, 1.0, (2,), np.float32)})
    splits = DrawnSplits(directions("direction"))
    cost: ClassVar[float]

    def push(self, action: Tensor) -> Tensor:
        """Acceleration of an action, shape (*envs, 2)."""
        raise NotImplementedError

    def initial(self, task: Mapping[str, Tensor], noise: Tensor) -> tuple[Tensor, Tensor]:
        """A velocity of zero."""
        rest = noise.new_zeros((*noise.shape[:-1], 2))
        return rest, rest

    def step(self, task: Mapping[str, Tensor], state: Any, action: Tensor, noise: Tensor) -> tuple[Any, ...]:
        """Update the velocity."""
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
        """The action itself."""
        return action


class CoupledDirection(_Direction):
    """The push is the product of the action's two halves, with a saddle point at zero; cost 0.01."""

    name = "coupled-direction"
    action_space = spaces.Box(-1.0, 1.0, (4,), np.float32)
    cost = 0.01
    protocol: Mapping[str, str] = {
        "reward": "v . d - 0.01 |a|^2",
        "actions": "clipped to [-1, 1]",
        "end": "never",
    }

    def push(self, action: Tensor) -> Tensor:
        """Product of the action's two halves."""
        return action[..., :2] * action[..., 2:]

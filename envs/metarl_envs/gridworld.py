"""Grid navigation: search for a hidden goal on a small grid (VariBAD, Zintgraf et al. 2020)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from gymnasium import spaces

from metarl.families.analytic import AnalyticFamily
from metarl.families.family import known_variant
from metarl.families.splits import shared_splits
from metarl.references.reference import Reference
from metarl_envs.references.grid import known_goal, optimal_search, sampled_goals, uniform_moves

if TYPE_CHECKING:
    from torch import Tensor

CELLS = 5
NOT_GOALS = ((0, 0), (0, 1), (1, 0), (1, 1))
GOALS = [cell for cell in itertools.product(range(CELLS), repeat=2) if cell not in NOT_GOALS]


class GridNavigation(AnalyticFamily):
    """Actions stay, up, right, down, left, from (0, 0); reward +1 on the goal, -0.1 elsewhere; horizon 15.

    Episodes do not terminate. A published trial has four episodes; an adapted policy goes straight to the goal from the
    second on. The 21 goals are used for both training and test, as published.

    Args:
        variant: "varibad".
    """

    name = "grid-navigation"
    variants: ClassVar[Mapping[str, str]] = {
        "varibad": "5x5 cells, 21 goals, horizon 15, trials of 4 episodes (VariBAD)"
    }
    horizon = 15
    observation_space = spaces.Box(0.0, CELLS - 1.0, (2,), np.float32)
    action_space = spaces.Discrete(5)
    task_space = spaces.Dict({"goal": spaces.Box(0, CELLS - 1, (2,), np.int64)})
    splits = shared_splits([{"goal": np.array(goal, np.int64)} for goal in GOALS])
    protocol: Mapping[str, str] = {
        "horizon": "15, trials of 4 episodes",
        "reward": "+1 on the goal, -0.1 elsewhere",
        "goals": "all cells but the four around the start, the same in training and test",
        "end": "never",
    }

    def __init__(self, variant: str = "varibad") -> None:
        self.variant = known_variant(self.name, variant, self.variants)

    def initial(self, task: Mapping[str, Tensor], noise: Tensor) -> tuple[Tensor, Tensor]:
        """The cell (0, 0)."""
        start = noise.new_zeros((*noise.shape[:-1], 2))
        return start, start

    def step(
        self, task: Mapping[str, Tensor], state: Tensor, action: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Move to a neighbouring cell, within the grid."""
        import torch

        moves = state.new_tensor([[0, 0], [0, 1], [1, 0], [0, -1], [-1, 0]])
        cell = (state + moves[action.long()]).clamp(0, CELLS - 1)
        reached = (cell == task["goal"]).all(-1)
        reward = torch.where(reached, 1.0, -0.1).to(state.dtype)
        return cell, cell, reward, torch.zeros_like(reached)

    def references(self) -> Mapping[str, Reference]:
        """The known goal, the optimal search, PSRL and random actions."""
        return {
            "oracle": Reference(
                "goes straight to the known goal", partial(known_goal, horizon=self.horizon),
                exact=True, bound=True, knows_task=True,
            ),
            "bayes-optimal": Reference(
                "the shortest search, then straight to the goal; uniform prior",
                partial(optimal_search, horizon=self.horizon), exact=True, bound=True,
            ),
            "psrl": Reference(
                "goes to a goal drawn before each episode from those not ruled out; uniform prior",
                partial(sampled_goals, goals=np.array(GOALS), horizon=self.horizon),
            ),
            "random": Reference("uniform actions", partial(uniform_moves, horizon=self.horizon), exact=True),
        }  # fmt: skip

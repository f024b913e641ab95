"""Grid navigation: find a hidden goal among the cells of a small grid (Zintgraf et al. 2020, VariBAD)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from gymnasium import spaces

from metarl.families.analytic import AnalyticFamily
from metarl.families.family import known_variant
from metarl.families.splits import shared_splits

if TYPE_CHECKING:
    from torch import Tensor

CELLS = 5
NOT_GOALS = ((0, 0), (0, 1), (1, 0), (1, 1))
GOALS = [cell for cell in itertools.product(range(CELLS), repeat=2) if cell not in NOT_GOALS]


class GridNavigation(AnalyticFamily):
    """Actions stay, up, right, down, left from (0, 0); +1 after a step on the goal, -0.1 elsewhere; horizon 15.

    A cell is never done, and the published trial is four episodes, the second of which should go straight to the
    goal. The 21 goals serve training and test alike, as published.
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
        start = noise.new_zeros((*noise.shape[:-1], 2))
        return start, start

    def step(
        self, task: Mapping[str, Tensor], state: Tensor, action: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        import torch

        moves = state.new_tensor([[0, 0], [0, 1], [1, 0], [0, -1], [-1, 0]])
        cell = (state + moves[action.long()]).clamp(0, CELLS - 1)
        reached = (cell == task["goal"]).all(-1)
        reward = torch.where(reached, 1.0, -0.1).to(state.dtype)
        return cell, cell, reward, torch.zeros_like(reached)

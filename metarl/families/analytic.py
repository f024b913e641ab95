"""Families written as two pure functions on torch tensors. Imports no torch until one is stepped."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np

from metarl.core.errors import FamilyError
from metarl.families.family import TaskFamily
from metarl.families.tasks import Task, Tasks

if TYPE_CHECKING:
    from gymnasium.vector import VectorEnv
    from torch import Tensor


class AnalyticFamily(TaskFamily):
    """A family written as two pure functions on torch tensors of any leading shape, dtype and device.

    `make` (one lane) and `make_vec` (all of them in one batch) both derive from these functions.
    """

    initial_noise: int = 0
    step_noise: int = 0
    """How many uniform numbers in (0, 1) `initial` and `step` need for each lane."""

    @abstractmethod
    def initial(self, task: Mapping[str, Tensor], noise: Tensor) -> tuple[Any, Tensor]:
        """State and observation at time 0.

        `noise` is (*lanes, initial_noise); a state is a tensor or a dictionary of them.
        """

    @abstractmethod
    def step(
        self, task: Mapping[str, Tensor], state: Any, action: Tensor, noise: Tensor
    ) -> tuple[Any, Tensor, Tensor, Tensor]:
        """Next state, its observation, reward (*lanes) and termination (*lanes), for actions within their space."""

    def succeeded(self, task: Mapping[str, Tensor], state: Any) -> Tensor | None:
        """Whether the state after a step is a success (*lanes), booleans; None in families that know none."""
        return None

    def draw(self, task: Task, observations: np.ndarray) -> np.ndarray:
        """An RGB picture (height, width, 3) of an episode so far; families without one raise FamilyError."""
        raise FamilyError(f"family '{self.name}' has no picture")

    def make(self, task: Task, *, render_mode: str | None = None) -> gymnasium.Env:
        from metarl.families.analytic_env import AnalyticEnv

        return AnalyticEnv(self, task, render_mode=render_mode)

    def make_vec(self, tasks: Tasks, episodes: int) -> VectorEnv:
        from metarl.families.analytic_env import AnalyticVectorEnv

        return AnalyticVectorEnv(self, tasks, episodes)

    def set_task(self, env: gymnasium.Env, task: Task) -> None:
        env.unwrapped.set_task(task)  # type: ignore[attr-defined]

"""Families defined by two pure functions on torch tensors. Imports no torch until an environment is stepped."""

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
    """A family defined by two pure functions on torch tensors of any leading shape (*envs), dtype and device.

    Subclasses define the attributes of `TaskFamily` and the functions `initial` and `step`. Both `make` (one
    environment) and `make_vec` (all sub-environments in one batch) derive from these two functions.

    Example:
        >>> from gymnasium import spaces
        >>> from metarl.families import UniformSplits
        >>> class Reach(AnalyticFamily):
        ...     name, horizon = "reach", 10
        ...     task_space = spaces.Dict({"goal": spaces.Box(-1.0, 1.0, (1,), np.float32)})
        ...     observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float32)
        ...     action_space = spaces.Box(-0.1, 0.1, (1,), np.float32)
        ...     splits = UniformSplits(task_space)
        ...     def initial(self, task, noise):
        ...         start = noise.new_zeros((*noise.shape[:-1], 1))
        ...         return start, start
        ...     def step(self, task, state, action, noise):
        ...         position = state + action
        ...         reward = -(position - task["goal"]).abs().squeeze(-1)
        ...         return position, position, reward, reward > 0
        >>> env = Reach().make({"goal": np.array([0.5], np.float32)})
        >>> observation, _ = env.reset(seed=1)
        >>> round(env.step(np.array([0.1], np.float32))[1], 3)
        -0.4
    """

    initial_noise: int = 0
    """Number of uniform random numbers in (0, 1) that `initial` needs for each sub-environment."""
    step_noise: int = 0
    """Number of uniform random numbers in (0, 1) that `step` needs for each sub-environment."""

    @abstractmethod
    def initial(self, task: Mapping[str, Tensor], noise: Tensor) -> tuple[Any, Tensor]:
        """State and observation at time 0.

        Args:
            task: Task entries as tensors (*envs, ...).
            noise: Uniform random numbers in (0, 1), shape (*envs, initial_noise).

        Returns:
            The state, a tensor or a dictionary of tensors with leading axes (*envs), and the observation (*envs, size).
        """

    @abstractmethod
    def step(
        self, task: Mapping[str, Tensor], state: Any, action: Tensor, noise: Tensor
    ) -> tuple[Any, Tensor, Tensor, Tensor]:
        """One step of the dynamics.

        Args:
            task: Task entries as tensors (*envs, ...).
            state: The state before the step.
            action: Actions clipped to the action space, shape (*envs, ...).
            noise: Uniform random numbers in (0, 1), shape (*envs, step_noise).

        Returns:
            The next state, its observation (*envs, size), the reward (*envs), and the termination (*envs), boolean.
        """

    def succeeded(self, task: Mapping[str, Tensor], state: Any) -> Tensor | None:
        """Success of the state after a step, boolean (*envs); None in families that define no success."""
        return None

    def draw(self, task: Task, observations: np.ndarray) -> np.ndarray:
        """An RGB image (height, width, 3) of the episode so far; raises FamilyError in families without images.

        Args:
            task: The task of the environment.
            observations: All observations of the episode so far, shape (steps + 1, size).
        """
        raise FamilyError(f"family '{self.name}' has no picture")

    def make(self, task: Task, *, render_mode: str | None = None) -> gymnasium.Env:
        """One environment with this task, an `AnalyticEnv`."""
        from metarl.families.analytic_env import AnalyticEnv

        return AnalyticEnv(self, task, render_mode=render_mode)

    def make_vec(self, tasks: Tasks, episodes: int) -> VectorEnv:
        """All sub-environments as one batch, an `AnalyticVectorEnv`."""
        from metarl.families.analytic_env import AnalyticVectorEnv

        return AnalyticVectorEnv(self, tasks, episodes)

    def set_task(self, env: gymnasium.Env, task: Task) -> None:
        """Change the task of an environment."""
        env.unwrapped.set_task(task)  # type: ignore[attr-defined]

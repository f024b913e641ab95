"""Task families: a distribution of environments that share spaces and differ in a task.

Three ways to write one, one contract: subclass `AnalyticFamily` with pure batched functions, declare one from
any Gymnasium environment with `declared.declare_family`, or subclass `TaskFamily` and build the environments yourself.
This module imports no torch, so that families can be listed and validated at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces

from metarl.errors import FamilyError, nearest
from metarl.tasks import Splits, Task, Tasks, task_vectors

if TYPE_CHECKING:
    from gymnasium.vector import VectorEnv
    from torch import Tensor


class TaskFamily(ABC):
    """Environments that share observation space, action space and horizon, and differ in their task.

    A task is sticky: it is set when an environment is made or by `set_task`, and no reset changes it.
    """

    name: str
    variants: ClassVar[Mapping[str, str]] = {}
    """Names of the variants, each with a line on what it is; the first is the default."""
    variant: str | None = None
    task_space: spaces.Dict
    observation_space: spaces.Space
    action_space: spaces.Space
    horizon: int
    splits: Splits
    protocol: Mapping[str, str] = {}
    """What a reader must know to compare returns: reward, end rule, action scaling."""

    @abstractmethod
    def make(self, task: Task, *, render_mode: str | None = None) -> gymnasium.Env:
        """One environment with this task."""

    def make_vec(self, tasks: Tasks, episodes: int) -> VectorEnv:
        """tasks x episodes environments in task-major order, under gymnasium's own vector environment."""
        from metarl.sync_lanes import SyncLaneEnv

        return SyncLaneEnv(self, tasks, episodes)

    @abstractmethod
    def set_task(self, env: gymnasium.Env, task: Task) -> None:
        """Give an environment that `make` returned another task; reset it afterwards."""

    def sample_tasks(self, n: int, split: str, rng: np.random.Generator) -> Tasks:
        """n tasks of a split; raises FamilyError for a split that the family does not have."""
        return self.splits.sample(n, split, rng)

    def close(self) -> None:  # noqa: B027 (most families hold nothing)
        """Release what the family itself holds; environments are closed by whoever made them."""


def known_variant(name: str, variant: str, variants: Iterable[str]) -> str:
    """The variant; raises FamilyError, with the nearest one, where the family of that name has none such."""
    if variant not in variants:
        raise FamilyError(f"family '{name}': unknown variant '{variant}'{nearest(variant, variants)}")
    return variant


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
        from metarl.analytic_lanes import AnalyticEnv

        return AnalyticEnv(self, task, render_mode=render_mode)

    def make_vec(self, tasks: Tasks, episodes: int) -> VectorEnv:
        from metarl.analytic_lanes import AnalyticVectorEnv

        return AnalyticVectorEnv(self, tasks, episodes)

    def set_task(self, env: gymnasium.Env, task: Task) -> None:
        env.unwrapped.set_task(task)  # type: ignore[attr-defined]


class ObserveTask(TaskFamily):
    """The oracle baseline of a family: the task, as a flat vector, is appended to every observation."""

    def __init__(self, family: TaskFamily) -> None:
        self.family = family
        self.name = family.name
        self.variant = family.variant
        self.task_space = family.task_space
        self.action_space = family.action_space
        self.horizon = family.horizon
        self.splits = family.splits
        self.protocol = {**family.protocol, "observation": "with the task appended (oracle)"}
        inner = family.observation_space
        assert isinstance(inner, spaces.Box)
        size = int(spaces.flatdim(family.task_space))
        low = np.concatenate([inner.low, np.full(size, -np.inf)]).astype(np.float32)
        high = np.concatenate([inner.high, np.full(size, np.inf)]).astype(np.float32)
        self.observation_space = spaces.Box(low, high, dtype=np.float32)

    def make(self, task: Task, *, render_mode: str | None = None) -> gymnasium.Env:
        return _ObserveTaskEnv(self, self.family.make(task, render_mode=render_mode), task)

    def make_vec(self, tasks: Tasks, episodes: int) -> VectorEnv:
        if isinstance(self.family, AnalyticFamily):
            from metarl.analytic_lanes import AnalyticVectorEnv

            return AnalyticVectorEnv(self.family, tasks, episodes, observe_task=True)
        from metarl.sync_lanes import ObserveTaskVectorEnv

        return ObserveTaskVectorEnv(self, self.family.make_vec(tasks, episodes), tasks)

    def set_task(self, env: gymnasium.Env, task: Task) -> None:
        holder: Any = env
        while not isinstance(holder, _ObserveTaskEnv):
            holder = holder.env
        self.family.set_task(holder.env, task)
        holder.task = task

    def close(self) -> None:
        self.family.close()


class _ObserveTaskEnv(gymnasium.ObservationWrapper):
    spec = None  # type: ignore[assignment]

    def __init__(self, family: ObserveTask, env: gymnasium.Env, task: Task) -> None:
        super().__init__(env)
        self.family = family
        self.task = task
        self.observation_space = family.observation_space

    def observation(self, observation: np.ndarray) -> np.ndarray:
        vector = task_vectors(self.family.task_space, {k: np.asarray(v)[None] for k, v in self.task.items()})[0]
        return np.concatenate([np.asarray(observation, np.float32), vector])

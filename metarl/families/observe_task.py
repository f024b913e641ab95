"""The oracle baseline: a family whose observations end with the task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space

from metarl.core.errors import FamilyError
from metarl.families.analytic import AnalyticFamily
from metarl.families.family import TaskFamily
from metarl.families.tasks import Task, Tasks, batch_tasks, task_vectors
from metarl.families.vector import wrapper_of
from metarl.references.reference import Reference


class ObserveTask(TaskFamily):
    """The oracle baseline: a family with the task, as a flat vector, appended to every observation.

    Args:
        family: The family, with a flat Box of observations.
    """

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
        if not (isinstance(inner, spaces.Box) and len(inner.shape) == 1):
            raise FamilyError(
                f"--observe-task = True; the family's observations are {inner}, to which no task can be appended; "
                "expected a flat Box"
            )
        size = int(spaces.flatdim(family.task_space))
        low = np.concatenate([inner.low, np.full(size, -np.inf)]).astype(np.float32)
        high = np.concatenate([inner.high, np.full(size, np.inf)]).astype(np.float32)
        self.observation_space = spaces.Box(low, high, dtype=np.float32)

    def make(self, task: Task, *, render_mode: str | None = None) -> gymnasium.Env:
        """The family's environment, wrapped."""
        return _ObserveTaskEnv(self, self.family.make(task, render_mode=render_mode), task)

    def make_vec(self, tasks: Tasks, episodes: int) -> VectorEnv:
        """The family's vector environment, wrapped; an analytic one appends the task itself."""
        if isinstance(self.family, AnalyticFamily):
            from metarl.families.analytic_env import AnalyticVectorEnv

            return AnalyticVectorEnv(self.family, tasks, episodes, with_task=self.observation_space)

        return ObserveTaskVectorEnv(self, self.family.make_vec(tasks, episodes), tasks)

    def set_task(self, env: gymnasium.Env, task: Task) -> None:
        """Change the task of an environment, and the task that is appended."""
        holder = wrapper_of(env, _ObserveTaskEnv)
        self.family.set_task(holder.env, task)
        holder.task = task

    def references(self) -> Mapping[str, Reference]:
        """Those of the family."""
        return self.family.references()

    def close(self) -> None:
        """Close the family."""
        self.family.close()


class ShowTasks(ObserveTask):
    """An oracle that is told something else than the task: which entries it relies on shows where they are wrong.

    Single environments append their own task; only batches have tasks to exchange.

    Args:
        family: The family, with a flat Box of observations.
        shown: The tasks that are appended to the observations of a batch of tasks.
    """

    def __init__(self, family: TaskFamily, shown: Callable[[Tasks], Tasks]) -> None:
        super().__init__(family)
        self.shown = shown

    def make_vec(self, tasks: Tasks, episodes: int) -> VectorEnv:
        """The family's vector environment, wrapped."""
        return _ShowTasksVectorEnv(self, self.family.make_vec(tasks, episodes), tasks)


class _ObserveTaskEnv(gymnasium.ObservationWrapper):
    spec = None  # type: ignore[assignment]

    def __init__(self, family: ObserveTask, env: gymnasium.Env, task: Task) -> None:
        super().__init__(env)
        self.family = family
        self.task = task
        self.observation_space = family.observation_space

    def observation(self, observation: np.ndarray) -> np.ndarray:
        vector = task_vectors(self.family.task_space, batch_tasks([self.task]))[0]
        return np.concatenate([np.asarray(observation, np.float32), vector])


class ObserveTaskVectorEnv(VectorWrapper):
    """A family's vector environment with the task, as a flat vector, appended to every observation."""

    def __init__(self, family: ObserveTask, env: VectorEnv, tasks: Tasks) -> None:
        super().__init__(env)
        self.family = family
        self.single_observation_space = family.observation_space
        self.observation_space = batch_space(family.observation_space, env.num_envs)
        self._note(tasks)

    def _note(self, tasks: Tasks) -> None:
        vectors = task_vectors(self.family.task_space, tasks)
        self._vectors = np.repeat(vectors, self.num_envs // len(vectors), 0)

    def set_tasks(self, tasks: Tasks) -> None:
        """Change the tasks, and the tasks that are appended."""
        self.env.set_tasks(tasks)  # type: ignore[attr-defined]
        self._note(tasks)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        """Start episodes; arguments are those of the wrapped environment."""
        observations, info = self.env.reset(seed=seed, options=options)
        return self._with_task(observations), info

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict]:
        """One step of all sub-environments."""
        observations, *rest = self.env.step(actions)
        return self._with_task(observations), *rest  # type: ignore[return-value]

    def _with_task(self, observations: Any) -> np.ndarray:
        return np.concatenate([np.asarray(observations, np.float32), self._vectors], 1)


class _ShowTasksVectorEnv(ObserveTaskVectorEnv):
    family: ShowTasks

    def _note(self, tasks: Tasks) -> None:
        super()._note(self.family.shown(tasks))

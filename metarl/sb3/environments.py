"""Environments of a family for Stable-Baselines3."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import gymnasium
from gymnasium import spaces

from metarl.families.family import TaskFamily
from metarl.families.tasks import Tasks, number_of_tasks, task_at
from metarl.families.vector import environment_faults

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecEnv


class LearningEnv(gymnasium.Wrapper):
    """An environment that cycles through tasks: each reset changes to the next task.

    Discrete actions are counted from zero, independently of the family's start. Exceptions become EnvironmentFault with
    family and task.

    Args:
        family: Makes the environment.
        tasks: A batch of tasks.
        first: Index of the task of the first episode.
    """

    spec = None  # type: ignore[assignment]
    """None, since a registered id does not contain the task and could not rebuild the environment."""

    def __init__(self, family: TaskFamily, tasks: Tasks, first: int = 0) -> None:
        first %= number_of_tasks(tasks)
        super().__init__(family.make(task_at(tasks, first)))
        self._family, self._tasks = family, tasks
        self._next, self._given = first, first
        actions = family.action_space
        self._start = int(actions.start) if isinstance(actions, spaces.Discrete) else None
        if isinstance(actions, spaces.Discrete):
            self.action_space = spaces.Discrete(int(actions.n))

    def reset(self, **arguments: Any) -> tuple[Any, dict]:
        """Start an episode of the next task."""
        if self._next != self._given:
            self._family.set_task(self.env, task_at(self._tasks, self._next))
            self._given = self._next
        self._next = (self._next + 1) % number_of_tasks(self._tasks)
        return self._named("reset", **arguments)  # type: ignore[no-any-return]

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict]:
        """One step."""
        if self._start is not None:
            action = int(action) + self._start
        return self._named("step", action)  # type: ignore[no-any-return]

    def _named(self, method: str, *positional: Any, **arguments: Any) -> Any:
        with environment_faults(f"family '{self._family.name}', task {self._given}", method):
            return getattr(self.env, method)(*positional, **arguments)


def learning_envs(family: TaskFamily, tasks: Tasks, n_envs: int = 1) -> VecEnv:
    """Make `n_envs` monitored environments that are stepped together; the i-th starts with the i-th task."""
    from stable_baselines3.common.vec_env import DummyVecEnv

    return DummyVecEnv([partial(_monitored, family, tasks, first) for first in range(n_envs)])


def _monitored(family: TaskFamily, tasks: Tasks, first: int) -> gymnasium.Env:
    from stable_baselines3.common.monitor import Monitor

    return Monitor(LearningEnv(family, tasks, first))

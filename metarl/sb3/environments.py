"""Environments of a family as Stable-Baselines3 wants them."""

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
    """Environments of several tasks one after the other: each reset goes on to the next, from the last to the first.

    Discrete actions count from zero, whatever the family's own start; what an environment raises is named.
    """

    spec = None  # type: ignore[assignment]
    """A registered id cannot rebuild the environment, since it knows no task."""

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
        if self._next != self._given:
            self._family.set_task(self.env, task_at(self._tasks, self._next))
            self._given = self._next
        self._next = (self._next + 1) % number_of_tasks(self._tasks)
        return self._named("reset", **arguments)  # type: ignore[no-any-return]

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict]:
        if self._start is not None:
            action = int(action) + self._start
        return self._named("step", action)  # type: ignore[no-any-return]

    def _named(self, method: str, *positional: Any, **arguments: Any) -> Any:
        with environment_faults(f"family '{self._family.name}', task {self._given}", method):
            return getattr(self.env, method)(*positional, **arguments)


def learning_envs(family: TaskFamily, tasks: Tasks, n_envs: int = 1) -> VecEnv:
    """`n_envs` monitored environments that are stepped together, the i-th of which begins with the i-th task."""
    from stable_baselines3.common.vec_env import DummyVecEnv

    return DummyVecEnv([partial(_monitored, family, tasks, first) for first in range(n_envs)])


def _monitored(family: TaskFamily, tasks: Tasks, first: int) -> gymnasium.Env:
    from stable_baselines3.common.monitor import Monitor

    return Monitor(LearningEnv(family, tasks, first))

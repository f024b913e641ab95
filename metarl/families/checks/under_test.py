"""The family that `metarl check` examines: tasks, environments and episodes of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import gymnasium
import numpy as np

from metarl.core.prng import Key
from metarl.families.checks.trajectories import Trajectory, actions_for, record
from metarl.families.family import TaskFamily
from metarl.families.tasks import Task, Tasks, number_of_tasks, task_at

DRAWN = 40
"""Tasks looked at in each split."""


class CheckFailed(Exception):
    """A promise that is not kept."""

    def __init__(self, found: str, hint: str) -> None:
        super().__init__(found)
        self.hint = hint


class CheckSkipped(Exception):
    """A promise that cannot be looked into, and why."""


class UnderTest:
    """The family under examination, with tasks to examine it at."""

    def __init__(self, family: TaskFamily) -> None:
        self.family = family

    def draw(self, split: str, n: int = DRAWN) -> Tasks:
        """Tasks of a split, by random numbers of its own as in training and evaluation."""
        return self.family.sample_tasks(n, split, Key.from_seed(1).at("check", split).generator())

    @cached_property
    def _tasks(self) -> Tasks:
        return self.draw(self.family.splits.names[0])

    def task(self, index: int) -> Task:
        try:
            return task_at(self._tasks, index % number_of_tasks(self._tasks))
        except Exception as error:
            raise CheckSkipped(f"no tasks to look at: {error}") from error

    def other(self, task: Task) -> Task:
        """A task that is not the given one."""
        for index in range(DRAWN):
            found = self.task(index)
            if not same(found, task):
                return found
        raise CheckSkipped("all tasks are the same")

    @contextmanager
    def env(self, task: Task) -> Iterator[gymnasium.Env]:
        env = self.family.make(task)
        try:
            yield env
        finally:
            env.close()

    def episode(self, env: gymnasium.Env, number: int = 0, seed: int | None = None) -> Trajectory:
        """Episode `number`: its own actions, held ones where it is odd, and its own seed unless one is given."""
        actions = actions_for(self.family.action_space, self.family.horizon + 1, number, held=number % 2 == 1)
        return record(env, 1000 + number if seed is None else seed, actions)


def same(a: Any, b: Any) -> bool:
    """Whether two tasks, or two batches of them, hold the same values."""
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)

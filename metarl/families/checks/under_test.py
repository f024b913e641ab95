"""Tasks, environments and episodes of the family that `metarl check` examines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import gymnasium
import numpy as np

from metarl.core.errors import MetarlError, in_words
from metarl.core.prng import Key
from metarl.families.checks.trajectories import Trajectory, actions_for, record
from metarl.families.family import TaskFamily
from metarl.families.tasks import Task, Tasks, number_of_tasks, task_at

DRAWN = 40
"""Tasks examined in each split."""


class CheckFailed(Exception):
    """A check that failed.

    Args:
        found: The finding.
        hint: A suggestion for a fix.
    """

    def __init__(self, found: str, hint: str) -> None:
        super().__init__(found)
        self.hint = hint


class CannotMake(CheckFailed):
    """An environment cannot be made, so no further check can be run.

    Args:
        task: The task.
        error: What making it raised.
    """

    def __init__(self, task: Task, error: Exception) -> None:
        where = "" if isinstance(error, MetarlError) else place_of(error)
        plain = {name: np.asarray(value).tolist() for name, value in task.items()}
        super().__init__(f"no environment for {plain}: {in_words(error)}", where and f"see {where}")


class CheckSkipped(Exception):
    """A check that cannot be run; the message is the reason."""


class UnderTest:
    """The family under examination, with tasks of its first split.

    Args:
        family: The family.
    """

    def __init__(self, family: TaskFamily) -> None:
        self.family = family

    def draw(self, split: str, n: int = DRAWN) -> Tasks:
        """Draw tasks of a split; as in training and evaluation, each split has its own random numbers."""
        return self.family.sample_tasks(n, split, Key.from_seed(1).at("check", split).generator())

    @cached_property
    def _tasks(self) -> Tasks:
        return self.draw(self.family.splits.names[0])

    def task(self, index: int) -> Task:
        """A task by index, modulo the number of tasks; raises CheckSkipped if the family draws none."""
        try:
            return task_at(self._tasks, index % number_of_tasks(self._tasks))
        except Exception as error:
            raise CheckSkipped(f"no tasks to look at: {error}") from error

    def other(self, task: Task) -> Task:
        """A task that differs from the given one; raises CheckSkipped if all are equal."""
        for index in range(DRAWN):
            found = self.task(index)
            if not same(found, task):
                return found
        raise CheckSkipped("all tasks are the same")

    @contextmanager
    def env(self, task: Task) -> Iterator[gymnasium.Env]:
        """An environment with this task, closed at the end of the block."""
        try:
            env = self.family.make(task)
        except Exception as error:
            raise CannotMake(task, error) from error
        try:
            yield env
        finally:
            env.close()

    def episode(self, env: gymnasium.Env, number: int = 0, seed: int | None = None) -> Trajectory:
        """Record one episode of random actions, one step longer than the horizon.

        Args:
            env: The environment.
            number: Seeds the actions; an odd number repeats one action.
            seed: Seed of the environment (default: derived from `number`).
        """
        actions = actions_for(self.family.action_space, self.family.horizon + 1, number, held=number % 2 == 1)
        return record(env, 1000 + number if seed is None else seed, actions)


def place_of(error: BaseException) -> str:
    """File and line of the innermost frame; empty if there is none."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{trace.tb_frame.f_code.co_filename}, line {trace.tb_lineno}"


def same(a: Any, b: Any) -> bool:
    """Whether two tasks, or two batches of tasks, have the same values."""
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)

"""Adaptation curves on held-out tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from metarl.adaptation.adapter import Adapter
from metarl.adaptation.collect import adapt
from metarl.adaptation.problem import Collected, Problem
from metarl.core.errors import Divergence
from metarl.core.params import Params, TaskParams
from metarl.core.prng import Key
from metarl.families.tasks import Tasks, number_of_tasks, take_tasks

BLOCK = 50
"""Maximum number of tasks that adapt at once. It is part of the position of random numbers, hence not an option."""


class AdaptationCurve(NamedTuple):
    """Performance of every task before the first and after each adaptation step, and the amount of data used."""

    per_task: Float[Tensor, "tasks points"]
    transitions: list[float]
    """Mean number of transitions that one task had adapted to at each point of the curve."""
    successes: Float[Tensor, "tasks points"] | None = None
    """Success rates at the same points; None if the environments do not report success."""


def adaptation_curve(
    problem: Problem,
    theta: Params,
    tasks: Tasks,
    key: Key,
    adapter: Adapter,
    steps: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
    part: slice | None = None,
) -> AdaptationCurve:
    """Adapt theta to every task, and measure the performance of the data of every step.

    Point 0 is zero-shot performance. A task whose parameters diverge has NaN from that point on.

    Args:
        problem: Collects the data. Two attributes limit the number of tasks in one call: `tasks_at_once` limits memory,
            and `block` is also part of the position of random numbers (default: `BLOCK`).
        theta: The initialisation.
        tasks: The held-out tasks.
        key: Position of the random numbers.
        adapter: The adaptation method.
        steps: Number of adaptation steps.
        progress: Called with the number of measured points and the number of all points.
        part: Tasks to measure (default: all); their random numbers are those of a measurement of all tasks.
    """
    n = number_of_tasks(tasks)
    part = part or slice(0, n)
    size = getattr(problem, "block", BLOCK)
    blocks = list(_blocks(n, part, size, getattr(problem, "tasks_at_once", None) or size))
    scores = torch.full((n, steps + 1), float("nan"), dtype=torch.float64)
    successes, known = torch.zeros_like(scores), False
    used = [0] * (steps + 1)
    for number, block in enumerate(blocks):
        place = key.at(block.start // size).from_task(block.start % size)
        guarded = _Guarded(problem, theta)
        mine = take_tasks(tasks, block)
        for step, (state, collected) in enumerate(adapt(guarded, theta, mine, place, adapter, steps)):
            assert collected is not None
            scores[block, step] = collected.performance.double().cpu()
            if collected.success is not None:
                known, successes[block, step] = True, collected.success.double().cpu()
            for values in (scores, successes):
                values[[block.start + task for task in guarded.diverged], step] = float("nan")
            used[step] += int(torch.as_tensor(state.used).sum())
            progress(number * (steps + 1) + step + 1, len(blocks) * (steps + 1))
    transitions = [total / max(part.stop - part.start, 1) for total in used]
    return AdaptationCurve(scores[part], transitions, successes[part] if known else None)


def _blocks(n: int, part: slice, size: int, at_once: int) -> Iterator[slice]:
    """Slices of the part's tasks: blocks of `size`, cut into pieces of at most `at_once` tasks."""
    stride = min(size, at_once)
    for start in (first + i for first in range(0, n, size) for i in range(0, size, stride)):
        block = slice(max(start, part.start), min(start + stride, start - start % size + size, part.stop))
        if block.start < block.stop:
            yield block


class _Guarded:
    """A problem that replaces diverged parameters by theta when it collects, and records the indices of those tasks."""

    def __init__(self, problem: Problem, theta: Params) -> None:
        self.problem, self.theta = problem, theta
        self.inner_loss, self.outer_loss = problem.inner_loss, problem.outer_loss
        self.diverged: set[int] = set()

    def collect(self, params: TaskParams, tasks: Tasks, key: Key, memory: Any = None) -> Collected:
        self.diverged |= _not_finite(params)
        while True:
            try:
                return self.problem.collect(self._replaced(params), tasks, key, memory)
            except Divergence as error:
                if error.task is None or error.task in self.diverged:
                    raise
                self.diverged.add(error.task)

    def _replaced(self, params: TaskParams) -> TaskParams:
        if not self.diverged:
            return params
        params = {name: value.clone() for name, value in params.items()}
        for name, value in params.items():
            value[list(self.diverged)] = self.theta[name]
        return params


def _not_finite(params: TaskParams) -> set[int]:
    """Tasks with a parameter that is not finite."""
    if not params:
        return set()
    finite = torch.stack([torch.isfinite(value).reshape(len(value), -1).all(1) for value in params.values()]).all(0)
    return set((~finite).nonzero().squeeze(1).tolist())

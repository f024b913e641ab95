"""Adaptation curves on held-out tasks, and their statistics."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from metarl.errors import Divergence
from metarl.inner import Adapting, InnerRule, adapt_step, begin
from metarl.problem import Collected, Problem
from metarl.randomness import Key
from metarl.tasks import Tasks, number_of_tasks, take_tasks
from metarl.types import Params

BLOCK = 50
"""Tasks adapted at once, at most. Part of the position of random numbers, so it is not an option."""


class AdaptationCurve(NamedTuple):
    """Scores of every task before and after each adaptation step, and the transitions that the steps used."""

    per_task: Float[Tensor, "tasks points"]
    transitions: list[float]
    """Mean transitions of one task collected before each point of the curve."""
    successes: Float[Tensor, "tasks points"] | None = None
    """Success rates beside the scores; None where nothing is known of them."""


@runtime_checkable
class AdaptsItself(Protocol):
    """A problem whose adaptation is not made of gradient steps on its loss, as where another library learns."""

    def adaptation_curve(
        self,
        theta: Params,
        tasks: Tasks,
        key: Key,
        rule: InnerRule,
        steps: int,
        progress: Callable[[int, int], None],
    ) -> AdaptationCurve: ...


def adaptation_curve(
    problem: Problem | AdaptsItself,
    theta: Params,
    tasks: Tasks,
    key: Key,
    rule: InnerRule,
    steps: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
    part: slice | None = None,
) -> AdaptationCurve:
    """Adapt theta to every task for `steps` steps, with fresh data for each, scoring the data of every step.

    Point 0 is zero-shot. A task whose parameters diverge has NaN from there on. With `part` the curve is that of a
    part of the tasks, as it is among all of them. A problem with an attribute `tasks_at_once` is given no more of them,
    for the sake of memory.
    """
    if isinstance(problem, AdaptsItself):
        return problem.adaptation_curve(theta, tasks, key, rule, steps, progress)
    n = number_of_tasks(tasks)
    part = part or slice(0, n)
    stride = min(BLOCK, getattr(problem, "tasks_at_once", None) or BLOCK)
    starts = [first + i for first in range(0, n, BLOCK) for i in range(0, BLOCK, stride)]
    ends = [min(start + stride, start - start % BLOCK + BLOCK, part.stop) for start in starts]
    blocks = [slice(max(start, part.start), end) for start, end in zip(starts, ends, strict=True)]
    blocks = [block for block in blocks if block.start < block.stop]
    scores = torch.full((n, steps + 1), float("nan"), dtype=torch.float64)
    successes, known = torch.zeros_like(scores), False
    used = [0] * (steps + 1)
    for number, block in enumerate(blocks):
        mine = take_tasks(tasks, block)
        at = begin(theta, number_of_tasks(mine))
        place = key.at(block.start // BLOCK).from_task(block.start % BLOCK)
        diverged: set[int] = set()
        for step in range(steps + 1):
            at, collected = _collect(problem, theta, at, mine, place.at(step), diverged)
            scores[block, step] = collected.score.double().cpu()
            if collected.success is not None:
                known, successes[block, step] = True, collected.success.double().cpu()
            for values in (scores, successes):
                values[[block.start + task for task in diverged], step] = float("nan")
            for later in range(step + 1, steps + 1):
                used[later] += int(collected.transitions.sum())
            if step < steps:
                at = adapt_step(problem.inner_loss, at, collected.data, rule)
            progress(number * (steps + 1) + step + 1, len(blocks) * (steps + 1))
    transitions = [total / max(part.stop - part.start, 1) for total in used]
    return AdaptationCurve(scores[part], transitions, successes[part] if known else None)


def _collect(
    problem: Problem,
    theta: Params,
    at: Adapting,
    tasks: Tasks,
    key: Key,
    diverged: set[int],
) -> tuple[Adapting, Collected]:
    """Collect; a task whose parameters turn out to have diverged goes on with theta, and is noted in `diverged`."""
    finite = torch.stack([torch.isfinite(value).reshape(len(value), -1).all(1) for value in at.params.values()]).all(0)
    diverged |= set((~finite).nonzero().squeeze(1).tolist())
    while True:
        if diverged:
            params = {name: value.clone() for name, value in at.params.items()}
            memory = {name: value.clone() for name, value in at.memory.items()}
            for name, value in params.items():
                value[list(diverged)] = theta[name]
            for value in memory.values():
                value[list(diverged)] = 0
            at = Adapting(params, at.step, memory)
        try:
            return at, problem.collect(at.params, tasks, key)
        except Divergence as error:
            if error.task is None or error.task in diverged:
                raise
            diverged.add(error.task)


def interquartile_mean(values: np.ndarray, axis: int = 0) -> np.ndarray:
    """Mean of the middle half, a quarter cut at either end (Agarwal et al. 2021, section 4.3)."""
    from scipy.stats import trim_mean

    return trim_mean(values, 0.25, axis=axis)


def mean(values: np.ndarray, axis: int = 0) -> np.ndarray:
    return values.mean(axis)


AVERAGES = {"iqm": interquartile_mean, "mean": mean}


def summarise(per_task: np.ndarray, average: str = "iqm", *, resamples: int = 2000) -> dict[str, list[float | None]]:
    """Mean, standard error, interquartile mean and 95 % bootstrap interval of one of them over tasks, for every point.

    `average` says whether the interval is that of the interquartile mean ("iqm") or of the mean ("mean"). It is a
    percentile bootstrap over tasks with a fixed seed; it is null for fewer than two tasks, as is the standard
    error. Values that are not finite are null.
    """
    from scipy.stats import bootstrap

    n = len(per_task)
    error = per_task.std(0, ddof=1) / math.sqrt(n) if n > 1 else np.full(per_task.shape[1], np.nan)
    low = high = np.full(per_task.shape[1], np.nan)
    if n > 1 and np.isfinite(per_task).all():
        interval = bootstrap(
            (per_task,),
            AVERAGES[average],
            axis=0,
            n_resamples=resamples,
            method="percentile",
            rng=np.random.default_rng(0),
        ).confidence_interval
        low, high = interval.low, interval.high
    return {
        "mean": finite_list(mean(per_task)),
        "standard_error": finite_list(error),
        "iqm": finite_list(interquartile_mean(per_task)),
        "ci95_low": finite_list(low),
        "ci95_high": finite_list(high),
    }


def finite_list(values: Any) -> list[float | None]:
    """Floats for JSON, null where a value is not finite."""
    return [float(v) if math.isfinite(v) else None for v in values]


def worse_after_adaptation(per_task: np.ndarray) -> int:
    """Tasks whose score after the last step is below that before the first, diverged ones included."""
    return int((~(per_task[:, -1] >= per_task[:, 0])).sum())

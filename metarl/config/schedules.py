"""Schedules of the outer and inner learning rates, as functions of the iteration and the total. Imports no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

ScheduleName = Literal["constant", "linear", "cosine", "exponential", "step"]


@dataclass(frozen=True)
class ScheduleOptions:
    """Options of a learning rate's schedule over all iterations."""

    schedule: ScheduleName = "constant"
    """Shape of the rate over all iterations: constant, linear, cosine, exponential, or step (equal drops)."""
    warm_up: int = 0
    """Iterations in which the rate rises linearly to its full value; the schedule begins after them."""
    end_factor: float | None = None
    """Fraction of the rate at the end of the schedule; by default 0 (linear, cosine) or 0.1 (exponential, step)."""
    drops: int = 2
    """Number of drops of the schedule `step`, by equal factors and after equal numbers of iterations."""


def rate_factor(options: ScheduleOptions, iteration: int, total: int) -> float:
    """Factor of a learning rate in an iteration; nothing else than the arguments has an influence.

    After w iterations of warm-up, with progress p = (iteration - w) / (total - w) and end factor e, the factor is 1
    (constant), e + (1 - e)(1 - p) (linear), e + (1 - e)(1 + cos(pi p)) / 2 (cosine, Loshchilov and Hutter 2017), e^p
    (exponential), or e^(floor(p (n + 1)) / n) (step, n drops). In iteration k of the warm-up it is (k + 1) / (w + 1).

    Args:
        options: The schedule.
        iteration: Number of completed iterations; from `total` on the last value is used.
        total: Number of iterations that the schedule extends over.

    Example:
        >>> [rate_factor(ScheduleOptions("linear"), k, 4) for k in range(6)]
        [1.0, 0.75, 0.5, 0.25, 0.25, 0.25]
        >>> [rate_factor(ScheduleOptions("step", warm_up=1, end_factor=0.25), k, 4) for k in range(4)]
        [0.5, 1.0, 0.5, 0.25]
    """
    now, warm = max(min(iteration, total - 1), 0), options.warm_up
    if now < warm:
        return (now + 1) / (warm + 1)
    progress, name = (now - warm) / max(total - warm, 1), options.schedule
    if name == "constant":
        return 1.0
    end = options.end_factor
    if name in ("linear", "cosine"):
        end = 0.0 if end is None else end
        left = 1.0 - progress if name == "linear" else (1.0 + math.cos(math.pi * progress)) / 2
        return end + (1.0 - end) * left
    end = 0.1 if end is None else end
    if name == "exponential":
        return float(end**progress)
    drops = options.drops
    # In whole numbers, since rounding of the progress would shift a drop by an iteration.
    return float(end ** ((now - warm) * (drops + 1) // max(total - warm, 1) / drops))


def changes_until(options: ScheduleOptions, total: int) -> bool:
    """Whether the rate still changes when the schedule ends, so that training past its end has to be asked for.

    Args:
        options: The schedule.
        total: Number of iterations that the schedule extends over.
    """
    return options.schedule != "constant" or options.warm_up >= max(total, 1)

"""Statistics of evaluation and comparison: averages, confidence intervals, probability of improvement.

Scores form a table (seeds, tasks, points). A training seed is one theta that is measured on all tasks, and all seeds
are measured on the same tasks, so scores of a seed move together and scores of a task move together. Two questions
follow:

- These tasks: what would other training seeds reach on the same tasks? `seed_interval`.
- New tasks: what would other training seeds reach on other tasks of the distribution? `new_task_interval`.

With one training seed the variation over seeds is unknown, and `task_interval` is over tasks only. A task that occurs
several times in a table is averaged first and counts once. Intervals are two-sided with 95 % confidence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from metarl.core.numbers import finite_list

RATE_BOUNDS = (0.0, 1.0)
"""Bounds of scores that are rates, such as success."""
FEWEST_TASKS = 3
"""Distinct tasks below which no interval over tasks is given."""

OVER_SEEDS = "over training seeds, for these tasks"
OVER_BOTH = "over training seeds and tasks, for new tasks"
OVER_TASKS = "over tasks, one training seed"

_UPPER = 0.975


@dataclass(frozen=True)
class Interval:
    """A 95 % confidence interval for every point; NaN where there is none."""

    low: Float[ndarray, " points"]
    high: Float[ndarray, " points"]
    about: str
    """What the interval is over, or "none: " and the reason."""

    def clipped(self, bounds: tuple[float, float] | None) -> Interval:
        """The interval cut off at the bounds of the scores, such as (0, 1) for rates."""
        return self if bounds is None else Interval(np.clip(self.low, *bounds), np.clip(self.high, *bounds), self.about)


class DrawnVariance(NamedTuple):
    """Variance of a mean whose axes are random draws, and the degrees of freedom of that estimate."""

    variance: ndarray
    degrees: ndarray


# Averages


def interquartile_mean(values: ndarray, axis: int = 0) -> ndarray:
    """Mean of the middle half: int(n / 4) values cut off at either end (Agarwal et al. 2021, section 4.3).

    Fewer than four values lose none, so their interquartile mean is the mean. NaN where a value is not finite.
    """
    values = np.moveaxis(np.asarray(values, float), axis, 0)
    cut = _cut("iqm", len(values))
    middle = np.sort(values, axis=0)[cut : len(values) - cut]
    return _finite_mean(values, middle)


def mean(values: ndarray, axis: int = 0) -> ndarray:
    """Mean; NaN where a value is not finite."""
    values = np.moveaxis(np.asarray(values, float), axis, 0)
    return _finite_mean(values, values)


AVERAGES = {"iqm": interquartile_mean, "mean": mean}


def _cut(average: str, n: int) -> int:
    """How many of n values an average leaves out at either end."""
    return n // 4 if average == "iqm" else 0


def _finite_mean(values: ndarray, counted: ndarray) -> ndarray:
    finite = np.isfinite(values).all(0)
    return np.where(finite, np.where(finite, counted, 0.0).mean(0), np.nan)[()]


def distinct_tasks(
    scores: Float[ndarray, "seeds tasks points"], task_ids: Sequence[int] | Int[ndarray, " tasks"] | None
) -> Float[ndarray, "seeds distinct points"]:
    """Scores averaged over the occurrences of each task; equal `task_ids` are the same task, None: all differ.

    Every distinct task counts once, however often it occurs. A task with a score that is not finite has NaN.
    Raises ValueError unless there is one identity a task.
    """
    scores = np.where(np.isfinite(scores), scores, np.nan)
    if task_ids is None:
        return scores
    ids = np.asarray(task_ids)
    if ids.shape != scores.shape[1:2]:
        raise ValueError(f"task_ids has shape {ids.shape}; expected ({scores.shape[1]},), one identity a task")
    found = np.unique(ids)
    return scores if len(found) == len(ids) else np.stack([scores[:, ids == task].mean(1) for task in found], axis=1)


# Intervals


def seed_interval(per_seed: Float[ndarray, "seeds points"]) -> Interval:
    """Student's t-interval of the mean of the seeds' averages, with seeds - 1 degrees of freedom.

    It is used for any number of seeds: it is exact for normal averages, and a bootstrap of whole seeds is no better
    with 30 to 100 seeds, skewed ones included, and covers about 80 % with five.
    """
    seeds = len(per_seed)
    half = _half_width(per_seed.var(0, ddof=1) / seeds, seeds - 1)
    return Interval(per_seed.mean(0) - half, per_seed.mean(0) + half, OVER_SEEDS)


def task_interval(scores: Float[ndarray, "seeds tasks points"], average: str = "iqm") -> Interval:
    """t-interval over tasks of the mean over seeds of their averages, for these seeds and new tasks.

    The variance is that of the influence of each task (`linearised`), with tasks - 1 degrees of freedom.
    """
    values = linearised(scores, average).mean(0)
    half = _half_width(values.var(0, ddof=1) / len(values), len(values) - 1)
    return Interval(values.mean(0) - half, values.mean(0) + half, OVER_TASKS)


def new_task_interval(scores: Float[ndarray, "seeds tasks points"], average: str = "iqm") -> Interval:
    """Interval of the mean over seeds of their averages, for new training seeds and new tasks.

    The variance components of seeds and tasks (`drawn_variance`) are those of the linearised scores. The interval is
    never narrower than that over seeds alone or that over tasks alone, which keeps its coverage where one of them
    dominates and where a component is estimated as negative.
    """
    values = linearised(scores, average)
    drawn = drawn_variance(values, (0, 1))
    estimate = values.mean((0, 1))
    seeds, tasks = seed_interval(values.mean(1)), task_interval(scores, average)
    halves = (_half_width(*drawn), (seeds.high - seeds.low) / 2, (tasks.high - tasks.low) / 2)
    half = np.maximum(np.maximum(halves[0], halves[1]), halves[2])
    return Interval(estimate - half, estimate + half, OVER_BOTH)


def linearised(scores: Float[ndarray, "seeds tasks points"], average: str) -> Float[ndarray, "seeds tasks points"]:
    """Values whose mean over tasks is each seed's average, and whose variation is each task's influence on it.

    For the mean these are the scores. For the interquartile mean they are its average plus the influence function
    averaged over bootstrap samples (the infinitesimal jackknife of Efron 2014, in closed form): with order statistics
    x_(1) <= ... <= x_(T), of which h are averaged and g cut off at either end, the value of rank k is

        sum_(j < k) w_j (x_(j+1) - x_(j)) + constant,    w_j = T/h P(g <= Binomial(T - 1, j/T) < T - g).

    The influences are scaled by sqrt(h (T - 1) / (T (h - 1))), which gives the variance of a trimmed mean of few
    values (Tukey and McLaughlin 1963) its degrees of freedom, h - 1 of the middle values.
    """
    from scipy.special import bdtr

    tasks = scores.shape[1]
    cut = _cut(average, tasks)
    if cut == 0:
        return scores
    kept = tasks - 2 * cut
    order = np.argsort(scores, axis=1, kind="stable")
    ranked = np.take_along_axis(scores, order, axis=1)
    levels = np.arange(1, tasks) / tasks
    weights = tasks / kept * (bdtr(tasks - cut - 1, tasks - 1, levels) - bdtr(cut - 1, tasks - 1, levels))
    influence = np.zeros_like(ranked)
    influence[:, 1:] = np.cumsum(np.diff(ranked, axis=1) * weights[:, None], axis=1)
    influence -= influence.mean(1, keepdims=True)
    scale = math.sqrt(kept * (tasks - 1) / (tasks * (kept - 1)))
    values = np.empty_like(scores)
    np.put_along_axis(values, order, interquartile_mean(scores, 1)[:, None] + scale * influence, axis=1)
    return values


def drawn_variance(values: ndarray, axes: tuple[int, ...]) -> DrawnVariance:
    """Variance of the mean over `axes`, each drawn at random and all crossed, one value a cell; axes come first.

    Each set of axes has a mean square, divided here by the number of cells: of its main effect or interaction. They
    are added for odd numbers of axes and subtracted for even ones. For S seeds and T tasks that is

        (MS_seeds + MS_tasks - MS_error) / (S T) = s_seeds^2 / S + s_tasks^2 / T + s_error^2 / (S T),

    and never less than the largest term. Degrees of freedom are Satterthwaite's (1946), at least those of the
    shortest axis.
    """
    terms = {
        subset: _mean_square(values, axes, subset) for n in range(len(axes)) for subset in combinations(axes, n + 1)
    }
    freedom = {subset: math.prod(values.shape[axis] - 1 for axis in subset) for subset in terms}
    variance = sum(term if len(subset) % 2 else -term for subset, term in terms.items())
    for term in terms.values():
        variance = np.maximum(variance, term)
    below = sum(term**2 / freedom[subset] for subset, term in terms.items())
    fewest = min(values.shape[axis] for axis in axes) - 1
    known = np.asarray(below) > 0
    degrees = np.where(known, variance**2 / np.where(known, below, 1.0), fewest)
    return DrawnVariance(np.asarray(variance), np.maximum(degrees, fewest))


def _mean_square(values: ndarray, axes: tuple[int, ...], subset: tuple[int, ...]) -> ndarray:
    """Mean square of the effect of a set of axes, divided by the number of cells that `axes` span."""
    effect = values.mean(tuple(axis for axis in axes if axis not in subset), keepdims=True)
    for axis in subset:
        effect = effect - effect.mean(axis, keepdims=True)
    cells = math.prod(values.shape[axis] for axis in subset)
    return (effect**2).sum(axes) / (cells * math.prod(values.shape[axis] - 1 for axis in subset))


def _half_width(variance: ndarray, degrees: Any) -> ndarray:
    from scipy.special import stdtrit

    return stdtrit(degrees, _UPPER) * np.sqrt(variance)


def _none(reason: str, points: int) -> Interval:
    unknown = np.full(points, np.nan)
    return Interval(unknown, unknown, f"none: {reason}")


def _too_few(tasks: int) -> str:
    return f"{tasks} distinct task{'s' if tasks > 1 else ''}; at least {FEWEST_TASKS} are needed"


# Entries of results


def table_of(results: Sequence[Mapping[str, Any]], name: str) -> Float[ndarray, "seeds tasks points"]:
    """An entry of the results of several seeds as an array, NaN where it is null."""
    return np.array([[[np.nan if v is None else v for v in row] for row in result[name]] for result in results])


def summarise(
    per_task: Float[ndarray, "tasks points"],
    average: str = "iqm",
    task_ids: Sequence[int] | None = None,
    bounds: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """Statistics of one training seed for JSON: mean, standard error and interquartile mean over distinct tasks.

    The interval is that of the average named, over tasks; null for fewer than three distinct tasks, and `interval` says
    so. Equal `task_ids` are the same task; `bounds` are those of the scores. Values that are not finite are null.
    """
    scores = distinct_tasks(np.asarray(per_task, float)[None], task_ids)
    values = scores[0]
    tasks, points = values.shape
    error = values.std(0, ddof=1) / math.sqrt(tasks) if tasks > 1 else np.full(points, np.nan)
    over = task_interval(scores, average) if tasks >= FEWEST_TASKS else _none(_too_few(tasks), points)
    over = over.clipped(bounds)
    return {
        "mean": finite_list(mean(values)),
        "standard_error": finite_list(error),
        "iqm": finite_list(interquartile_mean(values)),
        "ci95_low": finite_list(over.low),
        "ci95_high": finite_list(over.high),
        "interval": over.about,
    }


def pooled(
    scores: Float[ndarray, "seeds tasks points"],
    average: str = "iqm",
    task_ids: Sequence[int] | None = None,
    bounds: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """Statistics of several training seeds for JSON: averages over tasks in each seed, then their mean over seeds.

    `ci95_low` and `ci95_high` are for these tasks, or over tasks where there is one seed; `new_tasks_low` and
    `new_tasks_high` for new tasks. Both are of the average named. `interval` and `new_tasks_interval` say what each is
    over, or why it is null. `seed_sd` and `worst_seed` are null for one seed. Values that are not finite are null.

    Args:
        scores: Score of each training seed, task and point.
        average: Average over tasks that has the intervals: "iqm" or "mean".
        task_ids: Equal numbers for equal tasks; None: all differ.
        bounds: Bounds of the scores, at which intervals end.

    Example:
        >>> pooled(np.array([[[1.0], [3.0], [5.0]], [[3.0], [5.0], [7.0]]]), "mean")["worst_seed"]
        [3.0]
    """
    scores = distinct_tasks(np.asarray(scores, float), task_ids)
    seeds, _, points = scores.shape
    per_seed = AVERAGES[average](scores, 1)
    several, unknown = seeds > 1, np.full(points, np.nan)
    these, new = (interval.clipped(bounds) for interval in _intervals(scores, average))
    return {
        "mean": finite_list(mean(scores, 1).mean(0)),
        "iqm": finite_list(interquartile_mean(scores, 1).mean(0)),
        "ci95_low": finite_list(these.low),
        "ci95_high": finite_list(these.high),
        "interval": these.about,
        "new_tasks_low": finite_list(new.low),
        "new_tasks_high": finite_list(new.high),
        "new_tasks_interval": new.about,
        "seed_sd": finite_list(per_seed.std(0, ddof=1) if several else unknown),
        "worst_seed": finite_list(per_seed.min(0) if several else unknown),
    }


def _intervals(scores: Float[ndarray, "seeds tasks points"], average: str) -> tuple[Interval, Interval]:
    """The interval for these tasks, over tasks where there is one seed, and that for new tasks."""
    seeds, tasks, points = scores.shape
    few = _none(_too_few(tasks), points)
    if seeds == 1:
        over = (
            task_interval(scores, average)
            if tasks >= FEWEST_TASKS
            else _none("one training seed, " + _too_few(tasks), points)
        )
        return over, _none("one training seed", points)
    new = new_task_interval(scores, average) if tasks >= FEWEST_TASKS else few
    return seed_interval(AVERAGES[average](scores, 1)), new


# Probability of improvement


def probability_of_improvement(
    ours: Float[ndarray, "our_seeds tasks"],
    theirs: Float[ndarray, "their_seeds tasks"],
    task_ids: Sequence[int] | None = None,
) -> dict[str, Any]:
    """P(a run of ours scores higher than a run of theirs on a task), ties counting half, with its interval, for JSON.

    A score that is not finite, as of a task that diverged, loses to every finite score and ties with another of its
    kind, so the probability is always a number. The interval is for new seeds of both methods and new tasks
    (`drawn_variance` of the wins), on the logit scale. Where the data show no variation, as where every comparison is
    won, it is that of a binomial proportion of as many trials as the smaller number of seeds (Clopper and Pearson
    1934). It is over tasks only where a method has one seed, and over seeds only for fewer than three distinct tasks.
    """
    ours, theirs = (distinct_tasks(scores[..., None], task_ids)[..., 0] for scores in (ours, theirs))
    ours, theirs = (np.where(np.isnan(scores), -np.inf, scores) for scores in (ours, theirs))
    wins = (ours[:, None] > theirs[None]) + 0.5 * (ours[:, None] == theirs[None])
    probability = float(wins.mean())
    low, high, about = _win_interval(wins, probability)
    return {"p": probability, "low": low, "high": high, "interval": about}


def _win_interval(
    wins: Float[ndarray, "our_seeds their_seeds tasks"], probability: float
) -> tuple[float | None, float | None, str]:
    seeds, tasks = min(wins.shape[:2]), wins.shape[2]
    if tasks < FEWEST_TASKS and seeds == 1:
        return None, None, f"none: one training seed, {_too_few(tasks)}"
    if seeds == 1:
        values, trials, about = wins.mean((0, 1)), tasks, OVER_TASKS
    elif tasks < FEWEST_TASKS:
        values, trials, about = wins.mean(2), seeds, OVER_SEEDS
    else:
        values, trials, about = wins, seeds, OVER_BOTH
    drawn = drawn_variance(values, tuple(range(values.ndim)))
    spread = probability * (1 - probability)
    if float(drawn.variance) <= 1e-12 or spread <= 1e-12:
        return *_binomial_interval(probability, trials), about
    half = float(_half_width(drawn.variance, drawn.degrees)) / spread
    centre = math.log(probability / (1 - probability))
    return _logistic(centre - half), _logistic(centre + half), about


def _binomial_interval(probability: float, trials: int) -> tuple[float, float]:
    """Interval of Clopper and Pearson (1934) of a proportion; numbers of successes need not be whole."""
    from scipy.special import betaincinv

    won, lost = probability * trials, (1 - probability) * trials
    low = float(betaincinv(won, lost + 1, 1 - _UPPER)) if won > 0 else 0.0
    high = float(betaincinv(won + 1, lost, _UPPER)) if lost > 0 else 1.0
    return low, high


def _logistic(x: float) -> float:
    return 0.5 * (1 + math.tanh(x / 2))


def while_adapting(scores: Float[ndarray, "*rows points"]) -> Float[ndarray, "*rows points"]:
    """Mean score of the data that was adapted to before each point; NaN at point 0, before which there is none.

    Args:
        scores: Score of the data of each point, all of which the next adaptation step uses.

    Example:
        >>> while_adapting(np.array([1.0, 2.0, 6.0])).tolist()
        [nan, 1.0, 1.5]
    """
    points = scores.shape[-1]
    before = np.cumsum(scores, -1)[..., :-1] / np.arange(1, points)
    return np.concatenate([np.full_like(scores[..., :1], np.nan), before], -1)


def worse_after_adaptation(per_task: ndarray) -> int:
    """Tasks whose score after the last step is below that before the first, diverged ones included."""
    return int((~(per_task[:, -1] >= per_task[:, 0])).sum())

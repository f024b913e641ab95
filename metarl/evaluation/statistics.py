"""Averages of scores over tasks and seeds, and their intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metarl.core.numbers import finite_list


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


def worse_after_adaptation(per_task: np.ndarray) -> int:
    """Tasks whose score after the last step is below that before the first, diverged ones included."""
    return int((~(per_task[:, -1] >= per_task[:, 0])).sum())


RESAMPLES = 2000


def stratified_intervals(
    scores: np.ndarray, average: str = "iqm", *, resamples: int = RESAMPLES
) -> tuple[np.ndarray, np.ndarray]:
    """95 % percentile intervals of the IQM, or of the mean, over seeds x tasks, for scores (seeds, tasks, points).

    Seeds are drawn anew within each task (stratified); a single seed has tasks drawn instead.
    """
    rng = np.random.default_rng(0)
    seeds, tasks, _ = scores.shape
    estimates = []
    for _ in range(resamples):
        if seeds > 1:
            drawn = scores[rng.integers(seeds, size=(seeds, tasks)), np.arange(tasks)]
        else:
            drawn = scores[:, rng.integers(tasks, size=tasks)]
        estimates.append(AVERAGES[average](drawn.reshape(seeds * tasks, -1)))
    low, high = np.percentile(np.array(estimates), [2.5, 97.5], axis=0)
    return low, high


def pooled(scores: np.ndarray, average: str) -> dict[str, list[float | None]]:
    """Averages over seeds and tasks of scores (seeds, tasks, points), and the interval of one of them."""
    low, high = stratified_intervals(scores, average)
    return {
        "mean": finite_list(scores.mean((0, 1))),
        "iqm": finite_list(interquartile_mean(scores.reshape(-1, scores.shape[-1]))),
        "ci95_low": finite_list(low),
        "ci95_high": finite_list(high),
    }


def _table(results: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    """An entry of the results of several seeds as (seeds, tasks, points), NaN where it is null."""
    return np.array([[[np.nan if v is None else v for v in row] for row in result[name]] for result in results])


def probability_of_improvement(ours: np.ndarray, theirs: np.ndarray) -> float:
    """P(a run of ours beats a run of theirs), averaged over tasks, for scores (seeds, tasks); ties count half."""
    from scipy.stats import mannwhitneyu

    wins = mannwhitneyu(ours, theirs, axis=0).statistic
    return float(np.mean(wins / (len(ours) * len(theirs))))

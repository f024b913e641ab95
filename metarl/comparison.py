"""Comparing methods: the same held-out tasks, seeds pooled, each method at its own test-time learning rate.

Statistics follow Agarwal et al. (2021): interquartile means, stratified bootstrap intervals, probability of
improvement.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from metarl.api import evaluate
from metarl.checkpoint import load_selected
from metarl.config import RunConfig
from metarl.config_files import flat_mapping
from metarl.domains import REINFORCEMENT_LEARNING, Domain
from metarl.errors import ConfigError
from metarl.evaluation import AVERAGES, finite_list, interquartile_mean
from metarl.manifest import data_used
from metarl.run_directory import read_config

VALIDATION_TASKS = 20
VALIDATION_EPISODES = 20
MOST_RATES = 12
RESAMPLES = 2000

Notice = Callable[[str], None]
Evaluate = Callable[..., dict[str, Any]]


@dataclass(frozen=True)
class Method:
    """Runs that differ in nothing but their seed, and the rate they adapt with at test time."""

    label: str
    runs: tuple[Path, ...]
    config: RunConfig
    initialisation: str = "trained"
    inner_lr: float | None = None
    """None: the rates were learned."""
    later_inner_lr: float | None = None
    tried: dict[float, float] = field(default_factory=dict)
    """Mean score on meta-validation tasks for each rate that was tried."""


def methods_of(runs: Sequence[Path], *, scratch: bool = False, domain: Domain = REINFORCEMENT_LEARNING) -> list[Method]:
    """Group runs into methods; raises ConfigError where they are not about the same tasks."""
    grouped: dict[str, list[Path]] = {}
    configs: dict[str, tuple[str, RunConfig]] = {}
    places = set()
    for run in runs:
        algorithm, config = read_config(run, domain)
        places.add(config.about())
        identity = repr((algorithm, replace(config, seed=0)))
        grouped.setdefault(identity, []).append(run)
        configs[identity] = (algorithm, config)
    if len(places) > 1:
        listed = " and ".join(f"{family} {variant or ''}".strip() for family, variant in sorted(places, key=str))
        raise ConfigError(f"runs are about different environments: {listed}; compare those of one family and variant")
    labels = _labels(list(configs.values()))
    methods = [Method(label, tuple(grouped[key]), configs[key][1]) for label, key in zip(labels, grouped, strict=True)]
    if scratch:
        methods += _untrained(methods)
    return methods


def _untrained(methods: list[Method]) -> list[Method]:
    """A random initialisation for each learner that adapts: metarl itself, or an algorithm of another library."""
    rows = []
    for learner in dict.fromkeys(method.config.learner() for method in methods):
        own = [method for method in methods if method.config.learner() == learner]
        # A plain inner rule if there is one: scratch is every parameter adapted, at a rate that can be chosen.
        plain = min(own, key=lambda m: (m.config.inner.learned_lr != "none", m.config.inner.adapt != "all"))
        label = f"{learner} from scratch" if learner else "scratch"
        rows.append(replace(plain, label=label, initialisation="random"))
    return rows


def _labels(configured: list[tuple[str, RunConfig]]) -> list[str]:
    """The algorithm's name, and where several methods share it, the options in which they differ."""
    flat = [(algorithm, flat_mapping(config)) for algorithm, config in configured]
    labels = []
    for algorithm, options in flat:
        rivals = [other for name, other in flat if name == algorithm and other is not options]
        differing = sorted(
            {n for o in rivals for n in options.keys() | o.keys() if options.get(n) != o.get(n)} - {"seed"}
        )
        named = ", ".join(f"{name} {options.get(name)}" for name in differing)
        labels.append(f"{algorithm} ({named})" if named else algorithm)
    return labels


def choose_rate(
    score: Callable[[float], float], start: float, *, factor: float = 2.0, most: int | None = None
) -> tuple[float, dict[float, float]]:
    """The best of a geometric grid around `start`, extended until the best is inside it, and all scores.

    Gives up extending after `most` values (default: MOST_RATES); a rate whose score is not finite counts as worst.
    """
    tried: dict[float, float] = {}

    def of(rate: float) -> float:
        if rate not in tried:
            value = score(rate)
            tried[rate] = value if np.isfinite(value) else -np.inf
        return tried[rate]

    grid = [start / factor, start, start * factor]
    for rate in grid:
        of(rate)
    while len(tried) < (most or MOST_RATES):
        best = max(tried, key=lambda r: tried[r])
        if best == min(tried):
            of(best / factor)
        elif best == max(tried):
            of(best * factor)
        else:
            break
    return max(tried, key=lambda r: tried[r]), dict(sorted(tried.items()))


def with_chosen_rate(
    method: Method,
    *,
    at_step: int,
    seed: int,
    notice: Notice,
    evaluate: Evaluate = evaluate,
    budget: Mapping[str, Any] | None = None,
) -> Method:
    """The method at the rate that is best after `at_step` steps on meta-validation tasks, never on meta-test.

    `budget` holds the tasks and whatever else `evaluate` is to spend on each rate.
    """
    budget = budget or {"tasks": VALIDATION_TASKS, "episodes": VALIDATION_EPISODES}
    inner = method.config.inner
    if inner.learned_lr != "none":
        return method
    ratio = 1.0 if inner.later_lr is None else inner.later_lr / inner.lr

    def score(rate: float) -> float:
        results = [
            evaluate(
                run, split="meta-validation", steps=at_step, inner_lr=rate, later_inner_lr=rate * ratio, seed=seed,
                initialisation=method.initialisation, **budget,
            )
            for run in method.runs
        ]  # fmt: skip
        means = [result[result["measure"]]["mean"][at_step] for result in results]
        value = float("nan") if None in means else float(np.mean(means))
        notice(f"{method.label}: rate {rate:g}: {value:.4g} on meta-validation tasks")
        return value

    best, tried = choose_rate(score, inner.lr)
    return replace(method, inner_lr=best, later_inner_lr=best * ratio, tried=tried)


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


def compare(
    runs: Sequence[Path],
    *,
    split: str = "meta-test",
    tasks: int = 40,
    steps: int = 3,
    seed: int = 1,
    choose_at: int = 1,
    scratch: bool = False,
    notice: Notice = lambda line: None,
    domain: Domain = REINFORCEMENT_LEARNING,
    evaluate: Evaluate = evaluate,
    validation_budget: Mapping[str, Any] | None = None,
    **budget: Any,
) -> dict[str, Any]:
    """Adaptation curves of several methods on the same held-out tasks, as `metarl compare --json` writes them.

    `evaluate` measures a run of the domain; it is given the options `budget`, as episodes=40, beside those named here.
    `validation_budget` is what it spends on each rate.
    """
    if not 1 <= choose_at <= max(steps, 1):
        raise ConfigError(f"--choose-at = {choose_at}; expected a step from 1 to {max(steps, 1)}")
    methods = methods_of(runs, scratch=scratch, domain=domain)
    entries: list[dict[str, Any]] = []
    scores: dict[str, np.ndarray] = {}
    first: dict[str, Any] = {}
    for method in methods:
        method = with_chosen_rate(
            method, at_step=choose_at, seed=seed, notice=notice, evaluate=evaluate, budget=validation_budget
        )
        results = [
            evaluate(
                run, split=split, tasks=tasks, steps=steps, inner_lr=method.inner_lr,
                later_inner_lr=method.later_inner_lr, seed=seed, initialisation=method.initialisation,
                **budget,
            )
            for run in method.runs
        ]  # fmt: skip
        first = first or results[0]
        per_task = _table(results, "per_task")
        scores[method.label] = per_task
        trained = method.initialisation == "trained"
        entries.append(
            {
                "label": method.label,
                "runs": [str(run) for run in method.runs],
                "seeds": [read_config(run, domain)[1].seed for run in method.runs],
                f"training_{domain.unit}": [data_used(load_selected(run)[1]) if trained else 0 for run in method.runs],
                f"adaptation_{domain.unit}": results[0][domain.unit],
                "inner_lr": method.inner_lr,
                "later_inner_lr": method.later_inner_lr,
                "rates_tried": {f"{rate:g}": finite_list([value])[0] for rate, value in method.tried.items()},
                domain.measure: pooled(per_task, domain.average),
                **(
                    {"success": pooled(_table(results, "success_per_task"), "mean")}
                    if all("success_per_task" in result for result in results)
                    else {}
                ),
            }
        )
    last = {label: values[:, :, -1] for label, values in scores.items()}
    measured = ("family", "variant", "split", "splits", "seed", "tasks", "budget", "measure", "unit", "average")
    return {
        **{name: first[name] for name in measured},
        **({"episodes_per_step": first["episodes_per_step"]} if "episodes_per_step" in first else {}),
        "steps": steps,
        "rates_chosen_at_step": choose_at,
        "methods": entries,
        "probability_of_improvement": {
            a: {b: probability_of_improvement(last[a], last[b]) for b in last if b != a} for a in last
        },
    }

"""Comparing methods on the same held-out tasks, each at its own test-time learning rate.

Averages follow Agarwal et al. (2021); `metarl.evaluation.statistics` says what their intervals are over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from metarl.config.evaluation import ReferenceOptions
from metarl.config.registry import REINFORCEMENT_LEARNING, ProblemKind
from metarl.config.run import RunConfig
from metarl.config.toml import flat_mapping
from metarl.config.validation import check_least
from metarl.core.errors import ConfigError
from metarl.core.numbers import finite_list
from metarl.evaluation.evaluate import evaluate_run, granted_steps
from metarl.evaluation.references import Learner, by_length, episodes_per_point, family_with_references
from metarl.evaluation.statistics import RATE_BOUNDS, pooled, probability_of_improvement, table_of, while_adapting
from metarl.runs.checkpoint import load_selected
from metarl.runs.directory import read_config
from metarl.runs.manifest import data_used

VALIDATION_TASKS = 20

VALIDATION_EPISODES = 20

MOST_RATES = 12

NO_REFERENCES = ReferenceOptions()

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


def methods_of(
    runs: Sequence[Path], *, scratch: bool = False, kind: ProblemKind = REINFORCEMENT_LEARNING
) -> list[Method]:
    """Group runs that differ only in their seed into methods.

    Args:
        runs: The run directories.
        scratch: Whether a random initialisation is added for each learner that adapts.
        kind: The kind of problem.

    Raises:
        ConfigError: They are not about the same tasks.
    """
    grouped: dict[str, list[Path]] = {}
    configs: dict[str, tuple[str, RunConfig]] = {}
    places = set()
    for run in runs:
        algorithm, config = read_config(run, kind)
        places.add(config.task_name())
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
    log: Notice,
    evaluate: Evaluate = evaluate_run,
    budget: Mapping[str, Any] | None = None,
) -> Method:
    """The method at the rate that is best after `at_step` steps on meta-validation tasks, never on meta-test.

    `budget` holds the tasks and whatever else `evaluate` is to spend on each rate.
    """
    budget = budget or {"tasks": VALIDATION_TASKS, "episodes": VALIDATION_EPISODES}
    inner = method.config.inner
    if not method.config.has_rate():
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
        log(f"{method.label}: rate {rate:g}: {value:.4g} on meta-validation tasks")
        return value

    best, tried = choose_rate(score, inner.lr)
    return replace(method, inner_lr=best, later_inner_lr=best * ratio, tried=tried)


MOST_BUDGETS = 8
"""Rows of a table over environment steps."""


def common_axis(used: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Where methods of different granularity meet: at most eight budgets, and each method's point there, for JSON.

    Args:
        used: Data of the new task that each method has used at each of its points.

    Returns:
        `budgets`, and under `points` for each method the last point that it has reached with each budget; null beyond
        its last point.

    Example:
        >>> common_axis({"memory": [0, 10, 20, 30], "gradient": [0, 20]})
        {'budgets': [0, 10, 20, 30], 'points': {'memory': [0, 1, 2, 3], 'gradient': [0, 0, 1, None]}}
    """
    union = sorted(set().union(*used.values()))
    chosen = np.unique(np.linspace(0, len(union) - 1, min(len(union), MOST_BUDGETS)).round().astype(int))
    budgets = [union[place] for place in chosen]

    def points(reached: Sequence[int]) -> list[int | None]:
        return [None if b > reached[-1] else int(np.searchsorted(reached, b, "right")) - 1 for b in budgets]

    return {"budgets": budgets, "points": {label: points(reached) for label, reached in used.items()}}


def compare(
    runs: Sequence[Path],
    *,
    split: str = "meta-test",
    tasks: int = 40,
    steps: int = 3,
    adaptation_budget: int | None = None,
    seed: int = 1,
    choose_at: int = 1,
    scratch: bool = False,
    log: Notice = lambda line: None,
    kind: ProblemKind = REINFORCEMENT_LEARNING,
    evaluate: Evaluate = evaluate_run,
    validation_budget: Mapping[str, Any] | None = None,
    references: ReferenceOptions = NO_REFERENCES,
    **budget: Any,
) -> dict[str, Any]:
    """Adaptation curves of several methods on the same held-out tasks, as `metarl compare --json` writes them.

    `evaluate` measures a run; it is given the options `budget`, as episodes=40, beside those named here.
    `validation_budget` is what it spends on each rate. `references` may ask for those of the family beside the methods.
    With `adaptation_budget`, environment steps of a new task, each method takes as many steps as this allows.
    """
    if adaptation_budget is not None:
        check_least(("adaptation-budget", adaptation_budget, 1))
    if not 1 <= choose_at <= max(steps, 1):
        raise ConfigError(f"--choose-at = {choose_at}; expected a step from 1 to {max(steps, 1)}")
    methods = methods_of(runs, scratch=scratch, kind=kind)
    known = family_with_references(references, *methods[0].config.task_name())
    entries: list[dict[str, Any]] = []
    scores: dict[str, np.ndarray] = {}
    learners: dict[str, Learner] = {}
    first: dict[str, Any] = {}
    ids: list[int] | None = None
    for method in methods:
        method = with_chosen_rate(
            method, at_step=choose_at, seed=seed, log=log, evaluate=evaluate, budget=validation_budget
        )
        taken = steps
        if adaptation_budget is not None:
            taken = _steps_within(method, adaptation_budget, choose_at, budget)
        results = [
            evaluate(
                run, split=split, tasks=tasks, steps=taken, inner_lr=method.inner_lr,
                later_inner_lr=method.later_inner_lr, seed=seed, initialisation=method.initialisation,
                **budget,
            )
            for run in method.runs
        ]  # fmt: skip
        first = first or results[0]
        ids = first.get("task_ids")
        per_task = table_of(results, "per_task")
        scores[method.label] = per_task
        adapts_to_measured = all("while_adapting" in result for result in results)
        if known is not None and adapts_to_measured:
            learners[method.label] = Learner(per_task, episodes_per_point(results[0], known.horizon))
        trained = method.initialisation == "trained"
        entries.append(
            {
                "label": method.label,
                "runs": [str(run) for run in method.runs],
                "seeds": [read_config(run, kind)[1].seed for run in method.runs],
                f"training_{kind.unit}": [data_used(load_selected(run)[1]) if trained else 0 for run in method.runs],
                f"adaptation_{kind.unit}": results[0][kind.unit],
                "inner_lr": method.inner_lr,
                "later_inner_lr": method.later_inner_lr,
                "rates_tried": {f"{rate:g}": finite_list([value])[0] for rate, value in method.tried.items()},
                kind.measure: pooled(per_task, kind.average, ids, kind.bounds),
                **(
                    {"while_adapting": pooled(while_adapting(per_task), kind.average, ids, kind.bounds)}
                    if adapts_to_measured
                    else {}
                ),
                **(
                    {"success": pooled(table_of(results, "success_per_task"), "mean", ids, RATE_BOUNDS)}
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
        "distinct_tasks": len(set(ids or range(first["tasks"]))),
        "steps": max(len(entry[kind.measure]["mean"]) for entry in entries) - 1,
        "rates_chosen_at_step": choose_at,
        "methods": entries,
        "common_axis": common_axis({entry["label"]: entry[f"adaptation_{kind.unit}"] for entry in entries}),
        "probability_of_improvement": {
            a: {b: probability_of_improvement(last[a], last[b], ids) for b in last if b != a} for a in last
        },
        **({} if known is None else {"references": by_length(known, first, learners, references.reference_trials)}),
    }


def _steps_within(method: Method, budget: int, choose_at: int, options: Mapping[str, Any]) -> int:
    """Adaptation steps for which a method is granted at most that many environment steps of a new task.

    Raises:
        ConfigError: They are fewer than the step for which rates are chosen.
    """
    granted = granted_steps(method.runs[0], **options)
    if budget // granted < choose_at:
        raise ConfigError(
            f"--adaptation-budget = {budget}; expected at least {granted * choose_at}, which {method.label} uses up to "
            f"step {choose_at}"
        )
    return budget // granted

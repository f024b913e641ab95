"""What adaptation can gain on a family: oracle, best average policy and scratch, all trained briefly.

The oracle observes the task and the average policy does not; both are trained jointly over the training tasks. No
policy that has to find out the task does better than one that is told it, so the difference of their returns is the
most that adaptation can gain: the headroom. Scratch is a policy for each measured task, trained on it alone. All
methods have the same network, optimiser and number of environment steps.

What a parameter of the task matters is the return that the oracle loses if its values are exchanged among the tasks in
what the oracle observes, but not in the environments (permutation importance, Breiman 2001, section 10).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from metarl.adaptation.adapter import stack
from metarl.config.algorithms import AdamConfig, PretrainConfig
from metarl.config.evaluation import Worth
from metarl.config.run import PolicyConfig
from metarl.config.validation import check_least
from metarl.core.errors import ConfigError
from metarl.core.numbers import finite_list
from metarl.core.params import Params, TaskParams
from metarl.core.prng import Key
from metarl.evaluation.verdict import (
    AVERAGE,
    ORACLE,
    REFERENCE,
    SCRATCH,
    UNTRAINED,
    Estimate,
    Scores,
    remarks,
    verdict,
)
from metarl.families.family import TaskFamily
from metarl.families.observe_task import ShowTasks
from metarl.families.registry import handed_over, load_family
from metarl.families.splits import held_out_generator
from metarl.families.tasks import Tasks, number_of_tasks, take_tasks, task_ids
from metarl.references.reference import Reference
from metarl.training.assembly import Assembly, assemble
from metarl.training.brief import BriefTraining

METHODS = {
    ORACLE: "joint training, sees the task",
    AVERAGE: "joint training, does not see the task",
    SCRATCH: "a policy for each measured task",
    UNTRAINED: "random parameters",
}
"""The methods, and what each is."""

PERMUTATIONS = 2
"""Times that the values of a parameter are exchanged among tasks, for each training seed."""

Log = Callable[[str], None]


def measure_worth(family: str | TaskFamily, options: Worth, log: Log = lambda line: None) -> dict[str, Any]:
    """Measure the headroom of adaptation on a family, and which parameters of the task matter.

    Args:
        family: Name of the family, or the family itself.
        options: Options of the measurement.
        log: Called with lines about the progress of training.

    Returns:
        A dictionary of JSON values: statistics of the return of each method, `headroom`, `parameters` in the order of
        their importance, `remarks`, and `verdict`, a sentence.

    Raises:
        ConfigError: An option is invalid.
        FamilyError: The family cannot be loaded, or has no such split.
        EnvironmentFault, Divergence: A training cannot continue.
    """
    _check(options)
    loaded = load_family(family, options.variant)
    try:
        with handed_over(loaded) as name:
            return _worth(name, loaded, options, log)
    finally:
        loaded.close()


def _check(options: Worth) -> None:
    check_least(
        ("iterations", options.iterations, 1), ("tasks", options.tasks, 2), ("episodes", options.episodes, 1),
        ("seed", options.seed, 0),
    )  # fmt: skip
    for name, value in (("minutes", options.minutes), ("lr", options.lr)):
        if value is not None and not 0 < value < math.inf:
            raise ConfigError(f"--{name} = {value:g}; expected a number above 0")
    seeds = options.seeds
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        given = " ".join(map(str, seeds)) or "none"
        raise ConfigError(f"--seeds = {given}; expected at least one seed, each once and none negative")


def _worth(name: str, family: TaskFamily, options: Worth, log: Log) -> dict[str, Any]:
    rng = held_out_generator(family.name, family.variant, options.split, options.seed)
    tasks = family.sample_tasks(options.tasks, options.split, rng)
    place = Key.from_seed(options.seed).at("worth")
    blind, seeing = (assemble("pretrain", _config(name, options, observe)) for observe in (False, True))
    with _trainings(family, tasks, blind, seeing, options.seeds) as trainings:
        untrained = list(trainings[AVERAGE].thetas)
        iterations, seconds = _train(trainings, options, log)
        scores = _scores(trainings, untrained, tasks, place.at("episodes"), blind, seeing, len(options.seeds))
        oracles = trainings[ORACLE].thetas
        drops = _drops(family, oracles, tasks, place, seeing.config)
        curves = {method: np.array(training.returns) for method, training in trainings.items()}
    known = _known_oracle(family, tasks, place)
    if known is not None:
        scores[REFERENCE] = np.repeat(known.returns[None], len(options.seeds), 0)
    return _result(name, family, options, tasks, iterations, seconds, scores, drops, curves, known)


def _config(name: str, options: Worth, observe_task: bool) -> PretrainConfig:
    """Joint training with settings that suit most families, since nothing is searched for."""
    return PretrainConfig(
        family=name,
        observe_task=observe_task,
        iterations=options.iterations,
        meta_batch_size=options.tasks,
        episodes=options.episodes,
        adam=AdamConfig(lr=options.lr, schedule="constant"),
        policy=PolicyConfig(initial_log_std=-0.5, normalise_observations=True),
        validation_tasks=0,
    )


# Training


@contextmanager
def _trainings(
    family: TaskFamily, tasks: Tasks, blind: Assembly, seeing: Assembly, seeds: Sequence[int]
) -> Iterator[dict[str, BriefTraining]]:
    """The three trainings. Policies of scratch are in the order of seeds, and of tasks for each seed."""
    n = number_of_tasks(tasks)
    roots = [Key.from_seed(seed) for seed in seeds]

    def drawn(policy: int, iteration: int) -> Tasks:
        return family.sample_tasks(n, "meta-train", roots[policy].at("tasks", iteration).generator())

    def own(policy: int, iteration: int) -> Tasks:
        return take_tasks(tasks, slice(policy % n, policy % n + 1))

    def begun(parts: Assembly) -> list[Params]:
        return [parts.for_seed(seed).initial_theta() for seed in seeds]

    each = [theta for theta in begun(blind) for _ in range(n)]
    places = [root.at(SCRATCH, task) for root in roots for task in range(n)]
    with (
        BriefTraining(seeing, ORACLE, begun(seeing), roots, drawn) as oracle,
        BriefTraining(blind, AVERAGE, begun(blind), roots, drawn) as average,
        BriefTraining(blind, SCRATCH, each, places, own) as scratch,
    ):
        yield {ORACLE: oracle, AVERAGE: average, SCRATCH: scratch}


def _train(trainings: Mapping[str, BriefTraining], options: Worth, log: Log) -> tuple[int, float]:
    """Iterate all methods in turn until the budget is spent; returns the iterations of each, and the seconds."""
    started = time.perf_counter()
    shown = max(1, options.iterations // 6)
    for number in range(1, options.iterations + 1):
        for training in trainings.values():
            training.iterate()
        seconds = time.perf_counter() - started
        spent = options.minutes is not None and seconds >= 60 * options.minutes
        if number == 1 or number % shown == 0 or spent or number == options.iterations:
            now = ", ".join(f"{name} {np.mean(of.returns[-1]):.1f}" for name, of in trainings.items())
            log(f"iteration {number}/{options.iterations}: return in training: {now}")
        if spent:
            break
    return number, seconds


# Measurement


def _scores(
    trainings: Mapping[str, BriefTraining],
    untrained: Sequence[Params],
    tasks: Tasks,
    key: Key,
    blind: Assembly,
    seeing: Assembly,
    seeds: int,
) -> dict[str, Scores]:
    """Return of each method by training seed and task; all are measured on the same episodes."""
    n = number_of_tasks(tasks)
    scratch = trainings[SCRATCH].thetas
    alone = [_side_by_side(scratch[seed * n : (seed + 1) * n]) for seed in range(seeds)]
    return {
        ORACLE: _measured(seeing, [stack(theta, n) for theta in trainings[ORACLE].thetas], tasks, key),
        AVERAGE: _measured(blind, [stack(theta, n) for theta in trainings[AVERAGE].thetas], tasks, key),
        SCRATCH: _measured(blind, alone, tasks, key),
        UNTRAINED: _measured(blind, [stack(theta, n) for theta in untrained], tasks, key),
    }


def _side_by_side(thetas: Sequence[Params]) -> TaskParams:
    return {name: torch.stack([theta[name] for theta in thetas]) for name in thetas[0]}


def _measured(parts: Assembly, params: Sequence[TaskParams], tasks: Tasks, key: Key) -> Scores:
    """Mean return of the episodes of each task, for the parameters of each training seed."""
    problem = parts.setup.problem(training=False)
    try:
        found = [problem.collect(each, tasks, key.at(seed)).performance for seed, each in enumerate(params)]
    finally:
        problem.close()
    return torch.stack(found).double().cpu().numpy()


def _drops(family: TaskFamily, oracles: Sequence[Params], tasks: Tasks, place: Key, config: Any) -> dict[str, Scores]:
    """Return that the oracle loses by each parameter, by training seed and task."""
    n = number_of_tasks(tasks)
    params = [stack(theta, n) for theta in oracles]

    def told(shown: Callable[[Tasks], Tasks], draw: int) -> Scores:
        with handed_over(ShowTasks(family, shown)) as name:
            parts = assemble("pretrain", replace(config, family=name, observe_task=False))
            return _measured(parts, params, tasks, place.at("told", draw))

    right = [told(lambda tasks: tasks, draw) for draw in range(PERMUTATIONS)]
    lost: dict[str, Scores] = {}
    for entry in family.task_space.spaces:
        rngs = [place.at("exchanged", entry, draw).generator() for draw in range(PERMUTATIONS)]
        wrong = [told(partial(exchanged, entry=entry, rng=rng), draw) for draw, rng in enumerate(rngs)]
        lost[entry] = np.mean([a - b for a, b in zip(right, wrong, strict=True)], 0)
    return lost


def exchanged(tasks: Tasks, entry: str, rng: np.random.Generator) -> Tasks:
    """Tasks whose values of an entry are those of other tasks: each task gets the value of the next in a random ring.

    Args:
        tasks: The tasks.
        entry: Name of the entry.
        rng: Draws the ring.

    Example:
        >>> tasks = {"wind": np.array([1, 2, 3]), "mass": np.array([4, 5, 6])}
        >>> found = exchanged(tasks, "wind", np.random.default_rng(0))
        >>> sorted(found["wind"].tolist()), bool((found["wind"] == tasks["wind"]).any()), found["mass"].tolist()
        ([1, 2, 3], False, [4, 5, 6])
    """
    ring = rng.permutation(number_of_tasks(tasks))
    values = tasks[entry].copy()
    values[ring] = tasks[entry][np.roll(ring, 1)]
    return {**tasks, entry: values}


class _Known(NamedTuple):
    name: str
    reference: Reference
    returns: Float[ndarray, " tasks"]


def _known_oracle(family: TaskFamily, tasks: Tasks, place: Key) -> _Known | None:
    """The family's exact optimum for known tasks, if it has one: the return of one episode."""
    for name, reference in family.references().items():
        if reference.exact and reference.bound and reference.knows_task:
            found = reference.measure(tasks, 1, 1, place.at("reference").generator())
            return _Known(name, reference, found[:, 0])
    return None


# Result


def _result(
    name: str,
    family: TaskFamily,
    options: Worth,
    tasks: Tasks,
    iterations: int,
    seconds: float,
    scores: dict[str, Scores],
    drops: dict[str, Scores],
    curves: dict[str, Float[ndarray, "iterations policies"]],
    known: _Known | None,
) -> dict[str, Any]:
    ids = task_ids(tasks)
    bound = ORACLE if known is None else REFERENCE
    returns = {method: Estimate.of(found, ids) for method, found in scores.items()}
    headroom = Estimate.of(scores[bound] - scores[AVERAGE], ids)
    lost = {entry: Estimate.of(drop, ids) for entry, drop in drops.items()}
    parameters = sorted(lost.items(), key=lambda item: -(item[1].mean or 0.0))
    summaries = METHODS if known is None else {REFERENCE: f"{known.name}: {known.reference.summary}, exact", **METHODS}
    return {
        "family": name,
        "variant": family.variant,
        "split": options.split,
        "splits": family.splits.kind,
        "seed": options.seed,
        "seeds": list(options.seeds),
        "tasks": options.tasks,
        "task_ids": ids,
        "episodes": options.episodes,
        "horizon": family.horizon,
        "iterations": iterations,
        "environment_steps": iterations * options.tasks * options.episodes * family.horizon,
        "environment_steps_of_a_task": iterations * options.episodes * family.horizon,
        "wall_seconds": round(seconds, 3),
        "methods": {
            method: {
                "summary": summary,
                "return": asdict(returns[method]),
                "per_task": [finite_list(row) for row in scores[method]],
            }
            for method, summary in summaries.items()
        },
        "training_returns": {method: finite_list(curve.mean(1)) for method, curve in curves.items()},
        "headroom": {"of": bound, **asdict(headroom)},
        "parameters": [{"name": entry, **asdict(drop)} for entry, drop in parameters],
        "remarks": list(remarks(scores, ids, curves, headroom)),
        "verdict": verdict(bound, headroom, returns, parameters),
    }

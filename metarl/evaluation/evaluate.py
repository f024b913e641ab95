"""Evaluation of a run or of a model: its adaptation curve and protocol, as a result for JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from metarl.adaptation.adapter import Adapter
from metarl.adaptation.curve import AdaptationCurve, adaptation_curve
from metarl.adaptation.setup import Setup
from metarl.config.evaluation import Evaluation, FamilyEvaluation
from metarl.config.registry import REINFORCEMENT_LEARNING, ProblemKind
from metarl.config.run import RunConfig
from metarl.config.sb3 import Sb3Config
from metarl.config.validation import check_least, check_rates
from metarl.core.errors import ConfigError
from metarl.core.launch import threads_of_user, usable_cores
from metarl.core.machine import torch_threads
from metarl.core.numbers import finite_list
from metarl.core.params import Params
from metarl.core.prng import Key
from metarl.evaluation.references import add_references, family_with_references
from metarl.evaluation.statistics import RATE_BOUNDS, summarise, while_adapting, worse_after_adaptation
from metarl.families.registry import family_name
from metarl.families.splits import held_out_generator
from metarl.families.tasks import (
    batch_tasks,
    number_of_tasks,
    parse_task,
    read_tasks,
    task_at,
    task_ids,
    task_to_json,
)
from metarl.runs.checkpoint import load_selected
from metarl.runs.directory import read_config
from metarl.runs.sources import naming_network, naming_source
from metarl.training.assembly import assemble

GIVEN = "given"
"""Entry `split` of a result on tasks that the caller gave; they are in its entry `given_tasks`."""

Progress = Callable[[int, int], None]
"""Callback with the number of measured points and the number of all points."""


def evaluate_run(run: Path, *, progress: Progress = lambda done, total: None, **options: Any) -> dict[str, Any]:
    """Measure the adaptation curve of a run on held-out tasks.

    Args:
        run: The run directory.
        progress: Called with the number of measured points and the number of all points.
        **options: Options of `metarl.config.FamilyEvaluation`.
    """
    return evaluate_on_family(run, FamilyEvaluation(**options), progress)


def evaluate_on_family(
    run: Path,
    options: FamilyEvaluation,
    progress: Progress = lambda done, total: None,
    given: Sequence[Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Measure the adaptation curve of a run of `metarl train`, on its own family or another with the same spaces.

    Args:
        run: The run directory.
        options: Options of the evaluation.
        progress: Called with the number of measured points and the number of all points.
        given: Tasks to measure on, in place of those of a split.

    Raises:
        ConfigError: An option is invalid.
        FamilyError: The family cannot be loaded, or a given task is none of its tasks.
        FamilyError: References are asked for and the family has none.
        RunError: There is no such run or checkpoint, or the family's spaces do not fit it.
    """
    algorithm, config = read_config(run)
    check_least(("episodes", options.episodes, 1), ("samples-per-step", options.samples_per_step, 1))
    there = config.family
    family = there if options.family is None else family_name(options.family)
    config = replace(
        config.measured(options.episodes, options.samples_per_step),
        family=family,
        variant=options.variant or (config.variant if family == there else None),
    )
    if options.references and isinstance(config, Sb3Config):
        raise ConfigError("--references: not for Stable-Baselines3, whose learners collect episodes of their own")
    where = naming_source(run, there) if options.family is None else nullcontext()
    with where, naming_network(run, config.policy.network):
        known = family_with_references(options, config.family, config.variant)
        result = evaluate_as(REINFORCEMENT_LEARNING, algorithm, run, config, options, progress, given)
    return add_references(result, known, options.reference_trials)


def granted_steps(run: Path, **options: Any) -> int:
    """Environment steps of a task that a run is granted before its first adaptation step.

    Args:
        run: The run directory.
        options: Options of the evaluation, as `episodes`.
    """
    algorithm, config = read_config(run)
    with assemble(algorithm, config.measured(options["episodes"])) as parts:
        return int(parts.setup.budget(1)["environment_steps"][1])


def evaluate_as(
    kind: ProblemKind,
    algorithm: str,
    run: Path,
    config: RunConfig,
    options: Evaluation,
    progress: Progress = lambda done, total: None,
    given: Sequence[Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Measure the adaptation curve of a run's parameters on held-out tasks of a given configuration.

    Args:
        kind: The kind of problem.
        algorithm: Name of the outer update.
        run: The run directory, from which the parameters are loaded.
        config: The configuration of tasks, model and adapter.
        options: Options of the evaluation.
        progress: Called with the number of measured points and the number of all points.
        given: Tasks to measure on, in place of those of a split.

    Raises:
        ConfigError: An option is invalid.
        RunError: There is no such checkpoint, or its parameters do not fit the configuration.
    """
    check_least(("tasks", options.tasks, 1), ("steps", options.steps, 0), ("seed", options.seed, 0))
    check_rates(options.inner_lr, options.later_inner_lr)
    if options.initialisation not in ("trained", "random"):
        raise ConfigError(f"--initialisation = {options.initialisation}; expected trained or random")
    if options.initialisation == "random":
        config = config.untrained()
    rates = {"inner_lr": options.inner_lr, "later_inner_lr": options.later_inner_lr}
    with assemble(algorithm, config, kind, **rates) as parts:
        setup, adapter = parts.setup, parts.adapter
        manifest: dict[str, Any] = {"iteration": None}
        if options.initialisation == "random":
            theta = parts.initial_theta()
        else:
            state, manifest = load_selected(run, options.checkpoint)
            trained = parts.as_trained(state["theta"], str(run), manifest)
            theta = {name: value.to(parts.device, parts.dtype) for name, value in trained.items()}
            if options.inner_lr is None:
                adapter = parts.adapter_at(manifest["iteration"], options.later_inner_lr)
        theta = setup.at_test(theta, Key.from_seed(options.seed).at("evaluation"))
        # As trained, so that a result is bitwise the same whatever else the machine is doing.
        trained_with = min(manifest.get("threads") or usable_cores(), usable_cores())
        with torch_threads(threads_of_user() or trained_with):
            result = measure_curve(kind, setup, theta, adapter, config.task_name()[0], options, progress, given)
        return {
            **result,
            "initialisation": options.initialisation,
            "iteration": manifest["iteration"],
            "protocol": {**adapter.facts(), **setup.protocol()},
        }


def measure_curve(
    kind: ProblemKind,
    setup: Setup,
    theta: Params,
    adapter: Adapter,
    family: str,
    options: Evaluation,
    progress: Progress,
    given: Sequence[Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Measure the adaptation curve of theta on held-out tasks of a setup, with averages and intervals.

    Args:
        kind: The kind of problem.
        setup: Tasks, problem and model.
        theta: The initialisation.
        adapter: The adaptation method.
        family: Name of the tasks in the result.
        options: Options of the evaluation.
        progress: Called with the number of measured points and the number of all points.
        given: Tasks to measure on, in place of those of a split.
    """
    split, tasks, steps, seed = options.split, options.tasks, options.steps, options.seed
    key = Key.from_seed(seed).at("evaluation")
    space, listed = setup.task_space, {}
    if given is not None:
        sampled = batch_tasks([parse_task(space, task, f"split: task {i}") for i, task in enumerate(given)])
        split, tasks = GIVEN, len(given)
        listed = {"given_tasks": [task_to_json(space, task_at(sampled, i)) for i in range(tasks)]}
    elif split.endswith(".json"):
        sampled = read_tasks(Path(split), space)
        tasks = number_of_tasks(sampled)
    else:
        sampled = setup.sample_tasks(tasks, split, held_out_generator(setup.name, setup.variant, split, seed))
    problem = setup.problem(training=False)
    try:
        # Keyed by the split: where splits share tasks, a rate is chosen on other episodes than those reported.
        named = given is not None or split.endswith(".json")
        place = key.at("episodes", "file" if named else split)
        curve = adaptation_curve(problem, theta, sampled, place, adapter, steps, progress)
    finally:
        problem.close()
    per_task, ids = curve.per_task.numpy(), task_ids(sampled)
    return {
        "family": family,
        "variant": setup.variant,
        "split": split,
        **listed,
        "splits": setup.splits.kind,
        "seed": seed,
        "tasks": tasks,
        **setup.budget(steps),
        "transitions": curve.transitions,
        "measure": kind.measure,
        "unit": kind.unit,
        "average": kind.average,
        "task_ids": ids,
        kind.measure: summarise(per_task, kind.average, ids, kind.bounds),
        "per_task": [finite_list(row) for row in per_task],
        **(
            {"while_adapting": summarise(while_adapting(per_task), kind.average, ids, kind.bounds)}
            if setup.adapts_to_measured
            else {}
        ),
        **_successes(curve, ids),
        "worse_after_adaptation": worse_after_adaptation(per_task),
    }


def _successes(curve: AdaptationCurve, ids: list[int]) -> dict[str, Any]:
    """Entries of a result about success rates. A rate is a mean, so its interval is that of the mean."""
    if curve.successes is None:
        return {}
    rates = curve.successes.numpy()
    return {
        "success": summarise(rates, "mean", ids, RATE_BOUNDS),
        "success_per_task": [finite_list(row) for row in rates],
    }

"""Training and evaluation from Python; the command line calls the same functions."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metarl.agent import agent_of
from metarl.callbacks.callback import Callback, Outcome
from metarl.callbacks.dispatch import Callbacks
from metarl.config.evaluation import FamilyEvaluation, Worth
from metarl.config.registry import REINFORCEMENT_LEARNING, ProblemKind, find_algorithm
from metarl.config.run import TrainConfig
from metarl.config.toml import from_mapping, preset_or_default, to_mapping
from metarl.config.validation import check_least
from metarl.core.errors import ConfigError, in_python_words
from metarl.evaluation.evaluate import Progress, evaluate_on_family, measure_curve
from metarl.evaluation.references import add_references, family_with_references
from metarl.evaluation.worth import measure_worth
from metarl.families.family import TaskFamily
from metarl.families.registry import family_variants, handed_over, has_no_name
from metarl.families.tasks import number_of_tasks, task_at
from metarl.networks.factory import network_name
from metarl.training.loop import Reporter
from metarl.training.start import resume as resume_run
from metarl.training.start import train as train_into

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm


Given = str | Path | Sequence[Mapping[str, Any]] | Mapping[str, Any]
"""A split, a file of tasks, a list of tasks, or a batch of tasks."""

_families_of_runs: dict[Path, TaskFamily] = {}
"""Families without a name, by the run that this process trained on them."""


@contextmanager
def found_family(family: str | TaskFamily | None, run: Path | None = None) -> Iterator[str | None]:
    """Yield the name of a family, and None if the run's configuration names it; errors are in Python's words."""
    if family is None and run is not None:
        family = _families_of_runs.get(run.resolve())
    with in_python_words():
        if family is None:
            yield None
            return
        with handed_over(family) as name:
            yield name


def default_config(algorithm: str, family: str = "navigation2d", variant: str | None = None) -> TrainConfig:
    """The shipped preset of an algorithm on a variant of a family, or the algorithm's defaults."""
    variants = family_variants(family)
    config: TrainConfig = preset_or_default(algorithm, family, variant or (variants[0] if variants else None))[0]
    return config


def train(
    algorithm: str,
    *,
    run_dir: Path | str,
    family: str | TaskFamily | None = None,
    variant: str | None = None,
    config: TrainConfig | None = None,
    report: Reporter | None = None,
    callbacks: Sequence[Callback] = (),
    **options: Any,
) -> Path:
    """Meta-train into a new run directory.

    SIGINT (Ctrl-C) saves a checkpoint and raises KeyboardInterrupt; SIGTERM saves and exits.

    Args:
        algorithm: Name of the outer update, or `module:Class`.
        run_dir: Directory to create.
        family: Name of the task family, or the family itself (default: "navigation2d"). A family that no module has
            under a public name is not found again by its run: in another process give it to `evaluate` and `resume`.
        variant: Variant of the family (default: its first).
        config: Configuration to start from instead of the preset of algorithm, family and variant.
        report: Called with each iteration's record, a line of metrics.jsonl as a dictionary.
        callbacks: Called at the start, after each iteration, after each checkpoint and at the end, in this order.
        **options: Options that replace those of the configuration, nested ones as `inner={"lr": 0.2}`. A budget in
            `episodes` also replaces a preset's `samples_per_step`.

    Returns:
        The run directory.

    Raises:
        CallbackFault: A callback raised; the run is saved and can be resumed.
        ConfigError: An option is invalid.
        FamilyError: The family cannot be loaded.
        RunError: The directory cannot be used.
        EnvironmentFault, Divergence: Training cannot continue; checkpoints written so far remain.

    Example:
        >>> import tempfile
        >>> options = {"iterations": 1, "meta_batch_size": 2, "episodes": 2, "validation_tasks": 0}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = train("maml-trpo", run_dir=f"{folder}/run", inner={"lr": 0.2}, **options)
        ...     sorted(path.name for path in run.iterdir() if not path.name.startswith("."))
        ['checkpoints', 'config.toml', 'metrics.jsonl', 'tensorboard']
    """
    with in_python_words():
        find_algorithm(algorithm)
    if config is not None and (variant is not None or family is not None):
        raise ConfigError("config and family or variant were both given; expected one or the other")
    run, family = Path(run_dir), (family or "navigation2d") if config is None else config.family
    with found_family(family) as name:
        assert name is not None
        base = configured(algorithm, name, variant or getattr(family, "variant", None), config, options, "train")
        if isinstance(family, TaskFamily) and has_no_name(name):
            _families_of_runs[run.resolve()] = family
        else:
            _families_of_runs.pop(run.resolve(), None)
        outcome = train_into(algorithm, base, run, report=report, callbacks=Callbacks(callbacks, agent_of))
    raise_signal(outcome.signal)
    return run


def configured(
    algorithm: str, family: str, variant: str | None, config: TrainConfig | None, options: Mapping[str, Any], where: str
) -> TrainConfig:
    """The configuration of a call from Python: a given one, or preset or defaults, with options replaced.

    Args:
        algorithm: Name of the outer update.
        family: Name of the family.
        variant: Variant of the family.
        config: The configuration to start from, in place of preset or defaults.
        options: Options that replace its own.
        where: Start of error messages.
    """
    if config is None:
        base = default_config(algorithm, family, variant)
    else:
        # Values from Python may be numbers of NumPy, which config.toml cannot hold.
        base = replace(config, family=family)
        base = from_mapping(base, to_mapping(base), "config")
    if "episodes" in options and "samples_per_step" not in options:
        base = replace(base, samples_per_step=None)
    found: TrainConfig = from_mapping(base, options, where)
    return replace(found, policy=replace(found.policy, network=network_name(found.policy.network)))


def raise_signal(number: int | None) -> None:
    """Raise what a signal raises elsewhere in Python; None raises nothing."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    if number is not None:
        raise SystemExit(128 + number)


def resume(
    run_dir: Path | str,
    *,
    kind: ProblemKind = REINFORCEMENT_LEARNING,
    family: str | TaskFamily | None = None,
    iterations: int | None = None,
    extend_schedule: bool = False,
    accept_numerics: bool = False,
    report: Reporter | None = None,
    callbacks: Sequence[Callback] = (),
) -> Outcome:
    """Resume a run from its newest intact checkpoint; the result is bitwise that of an uninterrupted run.

    A run that early stopping or a callback ended is complete. It goes on only if `iterations` is given.

    Args:
        run_dir: The run.
        kind: The kind of problem.
        family: Its family, if that is not found as the configuration names it.
        iterations: Meta-iterations in total, at least as many as are done (default: as configured).
        extend_schedule: Whether training may continue past the end of a schedule, at its last value.
        accept_numerics: Whether a run of another numerics version may be resumed.
        report: Called with each iteration's record.
        callbacks: Called at the start, after each iteration, after each checkpoint and at the end, in this order.

    Returns:
        The last iteration, and the signal or the reason that stopped training, if any.

    Raises:
        CallbackFault: A callback raised; the run is saved and can be resumed.
        ConfigError: An option is invalid.
        FamilyError: The family cannot be loaded.
        RunError: There is no such run, it is in use, or it cannot be resumed.
        EnvironmentFault, Divergence: Training cannot continue; checkpoints written so far remain.

    Example:
        >>> import tempfile
        >>> options = {"iterations": 1, "meta_batch_size": 2, "episodes": 2, "validation_tasks": 0}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = train("maml-trpo", run_dir=f"{folder}/run", **options)
        ...     resume(run, iterations=2).iteration
        2
    """
    run = Path(run_dir)
    with found_family(family, run) as name:
        return resume_run(
            run, kind=kind, family=name, iterations=whole_number("iterations", iterations),
            extend_schedule=extend_schedule, accept_numerics=accept_numerics, report=report,
            callbacks=Callbacks(callbacks, agent_of),
        )  # fmt: skip


def whole_number(name: str, value: Any) -> int | None:
    """An argument as a Python integer; None for None.

    Raises:
        ConfigError: It is neither a whole number of Python nor one of NumPy.
    """
    if value is None:
        return None
    value = value.tolist() if hasattr(value, "tolist") else value
    if type(value) is not int:
        raise ConfigError(f"{name} = {value!r:.80}; expected a whole number")
    return value


def evaluate(
    run_dir: Path | str | BaseAlgorithm,
    *,
    family: str | TaskFamily | None = None,
    variant: str | None = None,
    split: Given = "meta-test",
    tasks: int = 40,
    episodes: int = 40,
    samples_per_step: int | None = None,
    steps: int | None = None,
    inner_lr: float | None = None,
    later_inner_lr: float | None = None,
    seed: int = 1,
    checkpoint: str | int = "last",
    initialisation: str = "trained",
    references: bool = False,
    reference_trials: int = 20,
    progress: Progress = lambda done, total: None,
) -> dict[str, Any]:
    """Measure the adaptation curve of a run on held-out tasks; `metarl evaluate --json` writes the same result.

    The tasks are a function of family, variant, split and seed. A model of Stable-Baselines3 is evaluated without
    adaptation, at step 0.

    Args:
        run_dir: A run directory, or a model of Stable-Baselines3.
        family: Another family with the same spaces, by name or itself (default: that of the run); required for a model.
        variant: Another variant of the family.
        split: "meta-train", "meta-validation", "meta-test", "out-of-distribution", a JSON file of tasks, a list of
            tasks, or a batch of tasks.
        tasks: Number of tasks; those of a file or a list are all taken.
        episodes: Episodes of each task before the first and after each step.
        samples_per_step: Transitions of each task in each step, in whole episodes; replaces `episodes`.
        steps: Number of adaptation steps (default: 3; 0 for a model).
        inner_lr: Learning rate of all steps (default: as trained).
        later_inner_lr: Learning rate after the first step.
        seed: Seed of tasks and episodes.
        checkpoint: "last", "best" (on meta-validation tasks) or an iteration.
        initialisation: "trained", or "random" for untrained parameters.
        references: Whether the family's references are measured as well, and the regret to them.
        reference_trials: Trials of each task that a simulated reference averages over.
        progress: Called with the number of measured points and the number of all points.

    Returns:
        A dictionary of JSON values. `return` contains averages over tasks with intervals for each step, `per_task` the
        return of every task. `environment_steps[k]` is the budget of one task before step k: episodes x horizon per
        step, or `samples_per_step`. `transitions[k]` is the mean number of transitions that one task used: fewer than a
        budget in episodes if episodes end early, more than a budget in samples.

    Raises:
        ConfigError: An option is invalid.
        FamilyError: The family cannot be loaded, or a given task is none of its tasks.
        RunError: There is no such run or checkpoint, or the family's spaces do not fit it.

    Example:
        >>> import tempfile
        >>> options = {"iterations": 1, "meta_batch_size": 2, "episodes": 2, "validation_tasks": 0}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = train("maml-trpo", run_dir=f"{folder}/run", **options)
        ...     result = evaluate(run, tasks=2, episodes=2, steps=1)
        >>> len(result["return"]["mean"]), result["environment_steps"]
        (2, [0, 200])
    """
    run = Path(run_dir) if isinstance(run_dir, Path | str) else None
    with found_family(family, run) as name:
        given = None if isinstance(split, str | Path) else _listed(split)
        values = {
            "family": name, "variant": variant or getattr(family, "variant", None), "tasks": tasks,
            "split": split if given is None else "meta-test", "episodes": episodes, "seed": seed,
            "references": references, "reference_trials": reference_trials, "steps": (3 if run else 0),
            **({} if steps is None else {"steps": steps}),
        }  # fmt: skip
        if run is None:
            return _evaluate_model(run_dir, from_mapping(FamilyEvaluation(), values, "evaluate"), progress, given)  # type: ignore[arg-type]
        values |= {
            "samples_per_step": samples_per_step, "inner_lr": inner_lr, "later_inner_lr": later_inner_lr,
            "checkpoint": str(checkpoint), "initialisation": initialisation,
        }  # fmt: skip
        return evaluate_on_family(run, from_mapping(FamilyEvaluation(), values, "evaluate"), progress, given)


def _listed(tasks: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Tasks as a list, from a list or a batch; raises ConfigError for anything else."""
    if isinstance(tasks, Mapping):
        try:
            tasks = [task_at(tasks, i) for i in range(number_of_tasks(tasks))]  # type: ignore[arg-type]
        except (TypeError, IndexError, StopIteration):
            tasks = []  # a single task
    if not isinstance(tasks, Sequence) or not tasks or not all(isinstance(task, Mapping) for task in tasks):
        raise ConfigError("split: expected the name of a split, a file of tasks, or a list of at least one task")
    return list(tasks)


def worth(
    family: str | TaskFamily, *, log: Callable[[str], None] = lambda line: None, **options: Any
) -> dict[str, Any]:
    """Measure what adaptation can gain on a family; `metarl worth FAMILY --json` writes the same result.

    Args:
        family: Name of the task family, or the family itself.
        log: Called with lines about the progress of training.
        **options: Options of `metarl.config.Worth`, such as `iterations`, `minutes`, `seeds` or `tasks`.

    Returns:
        A dictionary of JSON values: statistics of the return of each method in `methods`, `headroom`, `parameters` in
        the order of their importance, `remarks`, and `verdict`, a sentence.

    Raises:
        ConfigError: An option is invalid.
        FamilyError: The family cannot be loaded, or has no such split.
        EnvironmentFault, Divergence: A training cannot continue.

    Example:
        >>> result = worth("bernoulli-bandit", iterations=1, tasks=3, episodes=2, seeds=[1])
        >>> list(result["methods"]), result["environment_steps"]
        (['reference', 'oracle', 'average', 'scratch', 'untrained'], 6)
    """
    with in_python_words():
        if isinstance(family, TaskFamily):
            options = {"variant": family.variant, **options}
        return measure_worth(family, from_mapping(Worth(), options, "worth"), log)


def _evaluate_model(
    model: BaseAlgorithm, options: FamilyEvaluation, progress: Progress, given: list[Mapping[str, Any]] | None
) -> dict[str, Any]:
    """Evaluate a trained model on the same tasks, and with the same form of result, as a run, at step 0."""
    from metarl.sb3.model_setup import Fixed, ModelSetup

    if options.family is None:
        raise ConfigError("family is missing; expected the family whose tasks the model is to be measured on")
    if options.steps:
        raise ConfigError(f"steps = {options.steps}; expected 0: a model is measured as it is, and `learn` adapts it")
    check_least(("tasks", options.tasks, 1), ("episodes", options.episodes, 1), ("seed", options.seed, 0))
    known = family_with_references(options, options.family, options.variant)
    config = TrainConfig(family=options.family, variant=options.variant, episodes=options.episodes)
    setup = ModelSetup(config, model)
    try:
        result = measure_curve(REINFORCEMENT_LEARNING, setup, {}, Fixed(), options.family, options, progress, given)
    finally:
        setup.close()
    result = add_references(result, known, options.reference_trials)
    return {**result, "initialisation": "given", "iteration": None, "protocol": setup.protocol()}

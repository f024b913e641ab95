"""Training and evaluation from Python; the command line calls the same functions."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metarl.config.evaluation import FamilyEvaluation
from metarl.config.registry import REINFORCEMENT_LEARNING, find_algorithm
from metarl.config.run import TrainConfig
from metarl.config.toml import from_mapping, preset_or_default
from metarl.config.validation import check_least
from metarl.core.errors import ConfigError
from metarl.evaluation.evaluate import Progress, evaluate_on_family, measure_curve
from metarl.evaluation.references import add_references, family_with_references
from metarl.families.registry import family_variants
from metarl.training.loop import Reporter
from metarl.training.start import train as train_into

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm


def default_config(algorithm: str, family: str = "navigation2d", variant: str | None = None) -> TrainConfig:
    """The shipped preset of an algorithm on a variant of a family, or the algorithm's defaults."""
    variants = family_variants(family)
    config: TrainConfig = preset_or_default(algorithm, family, variant or (variants[0] if variants else None))[0]
    return config


def train(
    algorithm: str,
    *,
    run_dir: Path | str,
    family: str | None = None,
    variant: str | None = None,
    config: TrainConfig | None = None,
    report: Reporter | None = None,
    **options: Any,
) -> Path:
    """Meta-train into a new run directory.

    SIGINT (Ctrl-C) saves a checkpoint and raises KeyboardInterrupt; SIGTERM saves and exits.

    Args:
        algorithm: Name of the outer update, or `module:Class`.
        run_dir: Directory to create.
        family: Name of the task family (default: "navigation2d").
        variant: Variant of the family (default: its first).
        config: Configuration to start from instead of the preset of algorithm, family and variant.
        report: Called with each iteration's record.
        **options: Options that replace those of the configuration, nested ones as `inner={"lr": 0.2}`. A budget in
            `episodes` also replaces a preset's `samples_per_step`.

    Returns:
        The run directory.

    Raises:
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
    find_algorithm(algorithm)
    if config is not None and (variant is not None or family is not None):
        raise ConfigError("config and family or variant were both given; expected one or the other")
    base = config if config is not None else default_config(algorithm, family or "navigation2d", variant)
    if "episodes" in options and "samples_per_step" not in options:
        base = replace(base, samples_per_step=None)
    outcome = train_into(algorithm, from_mapping(base, options, "train"), run_dir, report=report)
    if outcome.signal == signal.SIGINT:
        raise KeyboardInterrupt
    if outcome.signal is not None:
        raise SystemExit(128 + outcome.signal)
    return Path(run_dir)


def evaluate(
    run_dir: Path | str | BaseAlgorithm,
    *,
    family: str | None = None,
    variant: str | None = None,
    split: str = "meta-test",
    tasks: int = 40,
    episodes: int = 40,
    samples_per_step: int | None = None,
    steps: int | None = None,
    inner_lr: float | None = None,
    later_inner_lr: float | None = None,
    seed: int = 1,
    checkpoint: str = "last",
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
        family: Another family with the same spaces (default: that of the run); required for a model.
        variant: Another variant of the family.
        split: "meta-train", "meta-validation", "meta-test", "out-of-distribution", or a JSON file of tasks.
        tasks: Number of tasks.
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
    if not isinstance(run_dir, Path | str):
        options = FamilyEvaluation(
            family=family, variant=variant, split=split, tasks=tasks, episodes=episodes, steps=steps or 0, seed=seed,
            references=references, reference_trials=reference_trials,
        )  # fmt: skip
        return _evaluate_model(run_dir, options, progress)
    options = FamilyEvaluation(
        family=family, variant=variant, split=split, tasks=tasks, episodes=episodes,
        samples_per_step=samples_per_step, steps=3 if steps is None else steps, inner_lr=inner_lr,
        later_inner_lr=later_inner_lr, seed=seed, checkpoint=checkpoint, initialisation=initialisation,
        references=references, reference_trials=reference_trials,
    )  # fmt: skip
    return evaluate_on_family(Path(run_dir), options, progress)


def _evaluate_model(model: BaseAlgorithm, options: FamilyEvaluation, progress: Progress) -> dict[str, Any]:
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
        result = measure_curve(REINFORCEMENT_LEARNING, setup, {}, Fixed(), options.family, options, progress)
    finally:
        setup.close()
    result = add_references(result, known, options.reference_trials)
    return {**result, "initialisation": "given", "iteration": None, "protocol": setup.protocol()}

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
from metarl.families.registry import family_variants
from metarl.training.loop import Reporter
from metarl.training.start import train as train_into

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm


def default_config(algorithm: str, family: str = "navigation2d", variant: str | None = None) -> TrainConfig:
    """The shipped preset for an algorithm on a family's variant, or the algorithm's defaults."""
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
    """Meta-train into `run_dir` and return it; `options` override the preset, nested ones as `inner={"lr": 0.2}`.

    A budget given as `episodes` replaces a preset's `samples_per_step`. Ctrl-C saves and raises
    KeyboardInterrupt; SIGTERM saves and exits.
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
    progress: Progress = lambda done, total: None,
) -> dict[str, Any]:
    """The adaptation curve of a run on held-out tasks, as `metarl evaluate --json` writes it.

    The tasks depend on family, variant, split and seed alone; `split` may also be a JSON file of tasks.
    `environment_steps[k]` is the budget granted to one task before step k: episodes x horizon a step, or
    `samples_per_step` where that is given, which whole episodes must fill. `transitions[k]` is what one task
    really took on average: less than a budget of episodes where they end early, more than one of samples.
    There are 3 steps unless another number is given. A model of Stable-Baselines3 in place of a run is measured as it
    is, at step 0, on the family that must then be named.
    """
    if not isinstance(run_dir, Path | str):
        options = FamilyEvaluation(
            family=family, variant=variant, split=split, tasks=tasks, episodes=episodes, steps=steps or 0, seed=seed
        )
        return _evaluate_model(run_dir, options, progress)
    options = FamilyEvaluation(
        family=family, variant=variant, split=split, tasks=tasks, episodes=episodes,
        samples_per_step=samples_per_step, steps=3 if steps is None else steps, inner_lr=inner_lr,
        later_inner_lr=later_inner_lr, seed=seed, checkpoint=checkpoint, initialisation=initialisation,
    )  # fmt: skip
    return evaluate_on_family(Path(run_dir), options, progress)


def _evaluate_model(model: BaseAlgorithm, options: FamilyEvaluation, progress: Progress) -> dict[str, Any]:
    """`evaluate` of a trained model: the same tasks and the same result as for a run, at step 0 alone."""
    from metarl.sb3.model_setup import Fixed, ModelSetup

    if options.family is None:
        raise ConfigError("family is missing; expected the family whose tasks the model is to be measured on")
    if options.steps:
        raise ConfigError(f"steps = {options.steps}; expected 0: a model is measured as it is, and `learn` adapts it")
    check_least(("tasks", options.tasks, 1), ("episodes", options.episodes, 1), ("seed", options.seed, 0))
    config = TrainConfig(family=options.family, variant=options.variant, episodes=options.episodes)
    setup = ModelSetup(config, model)
    try:
        result = measure_curve(REINFORCEMENT_LEARNING, setup, {}, Fixed(), options.family, options, progress)
    finally:
        setup.close()
    return {**result, "initialisation": "given", "iteration": None, "protocol": setup.protocol()}

"""Training and evaluation from Python; the command line calls the same functions."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metarl import training
from metarl.allocation import keep_freed_memory
from metarl.builder import DTYPES, as_trained, build_rule, initial_theta
from metarl.checkpoint import load_selected
from metarl.config import RunConfig, TrainConfig
from metarl.config_files import from_mapping, load_preset, preset_for
from metarl.domains import REINFORCEMENT_LEARNING, Domain
from metarl.errors import ConfigError
from metarl.evaluation import AdaptationCurve, adaptation_curve, finite_list, summarise, worse_after_adaptation
from metarl.inner import InnerRule
from metarl.known_algorithms import find_algorithm
from metarl.plugins import family_variants
from metarl.randomness import Key
from metarl.run_directory import read_config
from metarl.tasks import number_of_tasks, read_tasks
from metarl.types import Params
from metarl.validation import check_least, check_rates
from metarl.workload import Workload, open_workload

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

Progress = Callable[[int, int], None]


def default_config(algorithm: str, family: str = "navigation2d", variant: str | None = None) -> TrainConfig:
    """The shipped preset for an algorithm on a family's variant, or the algorithm's defaults."""
    variants = family_variants(family)
    variant = variant or (variants[0] if variants else None)
    name = preset_for(algorithm, family, variant)
    if name is not None:
        return load_preset(algorithm, name)[0]
    return replace(find_algorithm(algorithm).config(), family=family, variant=variant)


def train(
    algorithm: str,
    *,
    run_dir: Path | str,
    family: str | None = None,
    variant: str | None = None,
    config: TrainConfig | None = None,
    report: training.Reporter | None = None,
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
    outcome = training.train(algorithm, from_mapping(base, options, "train"), run_dir, report=report)
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
        from metarl.sb3.evaluation import evaluate_model

        return evaluate_model(
            run_dir, family=family, variant=variant, split=split, tasks=tasks, episodes=episodes, steps=steps,
            seed=seed, progress=progress,
        )  # fmt: skip
    steps = 3 if steps is None else steps
    run = Path(run_dir)
    _, config = read_config(run)
    check_least(("episodes", episodes, 1), ("samples-per-step", samples_per_step, 1))
    same = family is None or family == config.family
    config = replace(
        config,
        family=family or config.family,
        variant=variant or (config.variant if same else None),
        episodes=episodes,
        samples_per_step=samples_per_step,
    )
    return evaluate_as(
        REINFORCEMENT_LEARNING, run, config, split=split, tasks=tasks, steps=steps, inner_lr=inner_lr,
        later_inner_lr=later_inner_lr, seed=seed, checkpoint=checkpoint, initialisation=initialisation,
        progress=progress,
    )  # fmt: skip


def evaluate_as(
    domain: Domain,
    run: Path,
    config: RunConfig,
    *,
    split: str,
    tasks: int,
    steps: int,
    inner_lr: float | None = None,
    later_inner_lr: float | None = None,
    seed: int = 1,
    checkpoint: str = "last",
    initialisation: str = "trained",
    progress: Progress = lambda done, total: None,
) -> dict[str, Any]:
    """The adaptation curve of a run's parameters on held-out tasks, everything else as `config` says."""
    keep_freed_memory()
    check_least(("tasks", tasks, 1), ("steps", steps, 0), ("seed", seed, 0))
    check_rates(inner_lr, later_inner_lr)
    if initialisation not in ("trained", "random"):
        raise ConfigError(f"--initialisation = {initialisation}; expected trained or random")
    workload = open_workload(domain, config)
    rule = build_rule(config, inner_lr, later_inner_lr)
    key = Key.from_seed(seed).at("evaluation")
    manifest: dict[str, Any] = {"iteration": None}
    if initialisation == "random":
        theta = initial_theta(config, workload.model, config.seed)
    else:
        state, manifest = load_selected(run, checkpoint)
        trained = as_trained(config, workload.model, state["theta"], str(run))
        theta = {name: value.to(config.device, DTYPES[config.dtype]) for name, value in trained.items()}
    theta = workload.at_test(theta, key)
    result = measured(
        domain, workload, theta, rule, config.about()[0], split=split, tasks=tasks, steps=steps, seed=seed,
        progress=progress,
    )  # fmt: skip
    rates = {
        "inner_lr": rule.lr if config.inner.learned_lr == "none" else "learned",
        "later_inner_lr": rule.lr if rule.later_lr is None else rule.later_lr,
    }
    return {
        **result,
        "initialisation": initialisation,
        "iteration": manifest["iteration"],
        "protocol": {**rates, **workload.protocol()},
    }


def measured(
    domain: Domain,
    workload: Workload,
    theta: Params,
    rule: InnerRule,
    family: str,
    *,
    split: str,
    tasks: int,
    steps: int,
    seed: int,
    progress: Progress,
) -> dict[str, Any]:
    """The adaptation curve of theta on held-out tasks of a workload, which is closed afterwards."""
    key = Key.from_seed(seed).at("evaluation")
    if split.endswith(".json"):
        sampled = read_tasks(Path(split), workload.task_space)
        tasks = number_of_tasks(sampled)
    else:
        where = key.at("tasks", workload.name, workload.variant or "", split)
        sampled = workload.sample_tasks(tasks, split, where.generator())
    problem = workload.problem(training=False)
    try:
        curve = adaptation_curve(problem, theta, sampled, key.at("episodes"), rule, steps, progress)
    finally:
        problem.close()
        workload.close()
    per_task = curve.per_task.numpy()
    return {
        "family": family,
        "variant": workload.variant,
        "split": split,
        "splits": workload.splits.kind,
        "seed": seed,
        "tasks": tasks,
        **workload.budget(steps),
        "transitions": curve.transitions,
        "measure": domain.measure,
        "unit": domain.unit,
        "average": domain.average,
        domain.measure: summarise(per_task, domain.average),
        "per_task": [finite_list(row) for row in per_task],
        **_successes(curve),
        "worse_after_adaptation": worse_after_adaptation(per_task),
    }


def _successes(curve: AdaptationCurve) -> dict[str, Any]:
    """Success rates as a result has them. A rate is a mean, so the interval is that of the mean."""
    if curve.successes is None:
        return {}
    rates = curve.successes.numpy()
    return {"success": summarise(rates, "mean"), "success_per_task": [finite_list(row) for row in rates]}

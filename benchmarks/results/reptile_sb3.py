"""Reptile around PPO of Stable-Baselines3 against the same PPO from scratch, and trained across all tasks first.

Trains `reptile-sb3` and `pretrain-sb3` on equal environment steps for every seed (finished runs are used again),
compares them and scratch on held-out tasks, each at its own learning rate chosen on meta-validation tasks, and prints a
row a method, as Markdown: the table of docs/stable-baselines3.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmarks.results.finished_run import finished_run
from metarl.config.run import InnerConfig
from metarl.config.sb3 import PretrainSb3Config, ReptileSb3Config, Sb3Config, Sb3Options
from metarl.console import parse
from metarl.core.numbers import write_json
from metarl.evaluation.comparison import compare
from metarl.families.registry import family_variants
from metarl.training.progress import TrainingDisplay


@dataclass(frozen=True)
class Setting:
    """Options of PPO on a family, the same for every method and for scratch."""

    sb3: Sb3Options
    lr: float
    """Learning rate of training; each method chooses its own at test time."""
    gamma: float


SETTINGS = {
    "navigation2d": Setting(
        Sb3Options(timesteps=1000, n_envs=20, settings='{"n_steps": 25, "batch_size": 125, "clip_range": 0.3}'),
        lr=3e-3,
        gamma=0.99,
    ),
    "pendulum": Setting(
        Sb3Options(timesteps=1000, n_envs=10, settings='{"n_steps": 100, "batch_size": 250}'), lr=2e-3, gamma=0.9
    ),
}
STEPS = 4
"""Adaptation steps measured, so up to 4,000 environment steps."""
VALIDATION = {"tasks": 2, "episodes": 10}
"""Size of the evaluation of each learning rate of each method."""


@dataclass(frozen=True)
class Options:
    """Compare Reptile around PPO of Stable-Baselines3 with joint training and with PPO from scratch."""

    family: Literal["navigation2d", "pendulum"] = "navigation2d"
    """Task family."""
    out: Path = Path("runs/sb3")
    """Runs go to OUT/<family>/<method>-<seed>; the numbers to OUT/<family>/table.json."""
    methods: tuple[str, ...] = ("reptile-sb3", "pretrain-sb3")
    """Methods that are trained; scratch is always added."""
    seeds: tuple[int, ...] = (1, 2, 3)
    """Training seeds."""
    iterations: int = 40
    """Meta-iterations of each."""
    tasks: int = 6
    """Held-out tasks."""


def configured(options: Options, seed: int) -> dict[str, Sb3Config]:
    """Configurations of both methods; Reptile's plain outer step falls in size from one to zero."""
    setting = SETTINGS[options.family]
    shared: dict[str, Any] = {
        "family": options.family, "variant": next(iter(family_variants(options.family)), None), "seed": seed,
        "iterations": options.iterations, "meta_batch_size": 2, "validation_tasks": 0, "gamma": setting.gamma,
        "sb3": setting.sb3, "inner": InnerConfig(lr=setting.lr, steps=2),
    }  # fmt: skip
    return {"reptile-sb3": ReptileSb3Config(**shared, outer="plain"), "pretrain-sb3": PretrainSb3Config(**shared)}


def table(options: Options) -> dict[str, Any]:
    """Train every method with every seed, and compare them."""
    runs = []
    for seed in options.seeds:
        for algorithm in options.methods:
            config = configured(options, seed)[algorithm]
            with TrainingDisplay(config.iterations) as display:
                place = options.out / options.family / f"{algorithm}-{seed}"
                runs.append(finished_run(place, algorithm, config, display.report))
    return compare(
        runs, tasks=options.tasks, episodes=20, steps=STEPS, choose_at=2, scratch=True, validation_budget=VALIDATION,
        log=lambda line: print(line, flush=True),
    )  # fmt: skip


def markdown(result: dict[str, Any]) -> str:
    """Means over seeds and tasks after each adaptation step; at the last the interquartile mean, and its worst seed.

    The intervals are those for these tasks and for new tasks.
    """
    used = result["methods"][0]["adaptation_environment_steps"]
    lines = [
        f"| method | {' | '.join(f'{steps:,}' for steps in used)} | IQM at {used[-1]:,} (these tasks; new tasks) | "
        "worst seed | rate | training steps |",
        "|---|" + "---|" * (len(used) + 4),
    ]
    for entry in sorted(result["methods"], key=lambda entry: -entry["return"]["mean"][-1]):
        curve = entry["return"]
        names = ("iqm", "ci95_low", "ci95_high", "new_tasks_low", "new_tasks_high", "worst_seed")
        iqm, low, high, new_low, new_high, worst = (
            "-" if curve[n][-1] is None else f"{curve[n][-1]:.1f}" for n in names
        )
        last = f"{iqm} ({low} to {high}; {new_low} to {new_high}) | {worst}"
        means = " | ".join(f"{value:.1f}" for value in curve["mean"])
        trained = f"{np.mean(entry['training_environment_steps']) / 1e3:.0f}k"
        lines.append(f"| {entry['label']} | {means} | {last} | {entry['inner_lr']:g} | {trained} |")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> None:
    """Make the table with a command line."""
    options = parse(Options, list(arguments), "python -m benchmarks.results reptile-sb3")
    result = table(options)
    write_json(options.out / options.family / "table.json", result)
    print(markdown(result))

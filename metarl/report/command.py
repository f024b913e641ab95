"""The command that repeats a training, and the options in which it differs from the preset. Imports no torch."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from metarl.config.run import RunConfig, fields_of, option_name, value_of
from metarl.config.toml import preset_or_default

NAMED = ("family", "variant", "iterations")
"""Options that the command names even at their defaults."""


def changed_options(algorithm: str, config: RunConfig) -> dict[str, Any]:
    """Options whose values differ from the preset, or the defaults, that the command line would start from.

    Args:
        algorithm: Name of the outer update.
        config: The configuration of the training.
    """
    default = _start(algorithm, config)
    return {
        name: value_of(config, name)
        for name in fields_of(type(config))
        if name not in ("seed", *NAMED) and value_of(config, name) != value_of(default, name)
    }


def _start(algorithm: str, config: Any) -> Any:
    """The configuration that the command line's options are applied to."""
    default, _ = preset_or_default(algorithm, *config.task_name())
    # As on the command line: an explicit number of episodes replaces the samples of a preset.
    if getattr(default, "samples_per_step", None) is not None and config.episodes != default.episodes:
        default = replace(default, samples_per_step=None)
    return default


def command_of(
    algorithm: str, config: RunConfig, seeds: Sequence[int], runs: Sequence[Path], *, alone: bool = True
) -> str:
    """The command that repeats the training of one method.

    Args:
        algorithm: Name of the outer update.
        config: The configuration, of any of the seeds.
        seeds: The seeds of all runs.
        runs: The run directories.
        alone: Whether each seed was trained by itself, and not in a batch with others.

    Example:
        >>> from metarl.config import MamlTrpoConfig
        >>> config = MamlTrpoConfig(family="cartpole", iterations=5, episodes=7)
        >>> command_of("maml-trpo", config, [3], [Path("runs/pole")])
        'metarl train maml-trpo --family cartpole --iterations 5 --episodes 7 --seed 3 --run-dir runs/pole'
    """
    words = ["metarl", "train", algorithm]
    for name in NAMED:
        value = value_of(config, name)
        if value is not None:
            words += [option_name(name), str(value)]
    for name, value in changed_options(algorithm, config).items():
        words += _as_option(name, value)
    if len(runs) == 1:
        words += ["--seed", str(seeds[0]), "--run-dir", str(runs[0])]
    else:
        words += ["--seeds", *map(str, seeds), *(["--seeds-at-once", "1"] if alone else [])]
        words += ["--run-dir", str(_shared_place(seeds, runs) or Path("runs") / algorithm)]
    return shlex.join(words)


def _as_option(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        *groups, last = name.split(".")
        return [option_name(".".join([*groups, last if value else f"no_{last}"]))]
    if isinstance(value, tuple):
        return [option_name(name), *map(str, value)]
    return [option_name(name), str(value)]


def _shared_place(seeds: Sequence[int], runs: Sequence[Path]) -> Path | None:
    """The directory in which `--seeds` made these runs; None if they were made otherwise."""
    made = all(run.name == f"seed-{seed}" for run, seed in zip(runs, seeds, strict=True))
    return runs[0].parent if made and len({run.parent for run in runs}) == 1 else None

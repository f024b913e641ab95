"""Tuning from Python; the command line calls the same functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from metarl.api import configured, found_family, raise_signal, whole_number
from metarl.config.registry import find_algorithm
from metarl.config.run import TrainConfig
from metarl.core.errors import ConfigError
from metarl.families.family import TaskFamily
from metarl.tuning.search import Search, run_search
from metarl.tuning.space import dotted, space_of, space_to_search


def tune(
    algorithm: str,
    *,
    study_dir: Path | str,
    search: Mapping[str, str | Sequence[Any]] | None = None,
    family: str | TaskFamily | None = None,
    variant: str | None = None,
    config: TrainConfig | None = None,
    trials: int | None = None,
    seeds: Sequence[int] = (1000, 1001, 1002),
    sampler: Literal["tpe", "random", "grid"] = "tpe",
    prune: bool = True,
    workers: int = 1,
    report: Callable[[str], None] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Search options on meta-validation tasks; go on with the study if the directory holds the same one.

    The best options are written to `study_dir/preset.toml`, for `metarl train --config`. SIGINT (Ctrl-C) and SIGTERM
    are answered as in `train`.

    Args:
        algorithm: Name of the outer update, or `module:Class`.
        study_dir: Directory of the study.
        search: Ranges such as "log:1e-4:1e-2" or "1:5", or lists of values, by dotted name of the option (default: the
            space that ships for the algorithm, without `options`).
        family: As in `train`; with several workers a name.
        variant: Variant of the family (default: its first).
        config: Configuration to search around, as in `train`.
        trials: Trials in total (default: 30, or all combinations of a grid).
        seeds: Training seeds of every trial.
        sampler: "tpe", "random", or "grid" for every combination of listed values; the option `seed` governs it.
        prune: Whether a trial ends early whose score at a checkpoint is below the median of the others there.
        workers: Processes that work on trials.
        report: Called with a line for each trial that ended.
        **options: Options that hold for all trials, as in `train`.

    Returns:
        The content of `study_dir/table.json`: `best` with its `score`, `worst_seed` and `options`, `best_at_edge`, and
        `rows` with every trial.

    Raises:
        ConfigError: An option is invalid, or the extra `tune` is not installed.
        FamilyError: The family cannot be loaded.
        RunError: The directory holds another study, or every trial failed.
    """
    if config is not None and (variant is not None or family is not None):
        raise ConfigError("config and family or variant were both given; expected one or the other")
    family = (family or "navigation2d") if config is None else config.family
    with found_family(family) as name:
        assert name is not None
        find_algorithm(algorithm)
        base = configured(algorithm, name, variant or getattr(family, "variant", None), config, options, "tune")
        if search is None:
            space = space_to_search(algorithm, base, (), None, dotted(options))
        else:
            listed = {key: value if isinstance(value, str) else list(value) for key, value in search.items()}
            space = space_of(listed, base, "search")
        about = Search(
            algorithm, base, space, tuple(whole_number("seeds", seed) or 0 for seed in seeds), sampler, prune
        )
        found = run_search(
            about, Path(study_dir), trials=whole_number("trials", trials), workers=workers,
            log=report or (lambda line: None),
        )  # fmt: skip
    raise_signal(found.signal)
    return found.result

"""What the files of a run say about its training: curves, time by phase, versions. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metarl.config.registry import REINFORCEMENT_LEARNING
from metarl.core.errors import RunError
from metarl.runs.directory import METRICS
from metarl.runs.listing import run_status
from metarl.runs.manifest import list_checkpoints, read_manifest

MOST_POINTS = 200
"""Points of a learning curve on the page; longer ones are averaged block by block."""


@dataclass(frozen=True)
class History:
    """The training of one run."""

    run: Path
    state: str
    """finished, stopped, running, or "damaged: " and the reason."""
    iteration: int
    total: int
    used: np.ndarray
    """Environment steps at each recorded iteration."""
    before: np.ndarray
    """Return before adaptation at each recorded iteration; NaN where it is unknown."""
    after: np.ndarray
    """Return after the last adaptation step that was measured."""
    wall_seconds: float
    phases: dict[str, float]
    """Seconds of each phase, summed over all iterations."""
    validation: list[tuple[int, float]]
    """Environment steps and score of each checkpoint on meta-validation tasks."""
    unscored: int
    """Checkpoints without a score although others have one."""
    unreadable: list[str]
    """Errors of checkpoints that are damaged."""
    rejected: int
    """Iterations whose line search kept the old parameters."""
    manifest: dict[str, Any]
    """Manifest of the newest intact checkpoint."""


def read_history(run: Path) -> History:
    """Read the training of a run from its files.

    Args:
        run: The run directory.

    Raises:
        RunError: It holds no metrics or no intact checkpoint.
    """
    records = _records(run)
    measure, unit = REINFORCEMENT_LEARNING.measure, REINFORCEMENT_LEARNING.unit
    manifests, unreadable = _manifests(run)
    if not manifests:
        raise RunError(f"{run}: holds no intact checkpoint")
    curves = [[value for value in record.get(measure) or [] if value is not None] for record in records]
    scored = [manifest for manifest in manifests if manifest.get("meta_validation")]
    phases: dict[str, float] = {}
    for record in records:
        for name, seconds in (record.get("seconds") or {}).items():
            phases[name] = phases.get(name, 0.0) + seconds
    status = run_status(run)
    return History(
        run=run,
        state=status.state,
        iteration=status.iteration or manifests[-1]["iteration"],
        total=status.total or manifests[-1]["iteration"],
        used=np.array([record[unit] for record in records], float),
        before=np.array([curve[0] if curve else np.nan for curve in curves], float),
        after=np.array([curve[-1] if curve else np.nan for curve in curves], float),
        wall_seconds=float(records[-1]["wall_seconds"]),
        phases=phases,
        validation=[(manifest[manifest["unit"]], manifest["meta_validation"]["score"]) for manifest in scored],
        unscored=len(manifests) - len(scored) if scored else 0,
        unreadable=unreadable,
        rejected=sum((record.get("line_search") or {}).get("accepted") is False for record in records),
        manifest=manifests[-1],
    )


def _records(run: Path) -> list[dict[str, Any]]:
    """Complete records of the metrics; a line that a crash cut off is left out."""
    path = run / METRICS
    if not path.is_file():
        raise RunError(f"{run}: has no {METRICS}")
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict) and REINFORCEMENT_LEARNING.unit in record and "wall_seconds" in record:
            found.append(record)
    if not found:
        raise RunError(f"{path}: holds no complete record; expected one a finished iteration")
    return found


def _manifests(run: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Intact manifests in the order of their iterations, and the errors of the others."""
    intact, errors = [], []
    for folder in list_checkpoints(run).values():
        try:
            intact.append(read_manifest(folder))
        except RunError as error:
            errors.append(str(error))
    return intact, errors


def thinned(values: np.ndarray, most: int = MOST_POINTS) -> np.ndarray:
    """Averages of blocks of equal size, at most `most` of them; the values themselves where they are fewer.

    Example:
        >>> thinned(np.array([1.0, 3.0, 5.0, 7.0, 9.0]), 3).tolist()
        [2.0, 6.0, 9.0]
    """
    size = -(-len(values) // most)
    if size <= 1:
        return values
    return np.array([values[start : start + size].mean() for start in range(0, len(values), size)])


def mean_over_seeds(curves: Sequence[np.ndarray]) -> np.ndarray:
    """Mean over seeds at every iteration that all of them have reached.

    Example:
        >>> mean_over_seeds([np.array([1.0, 2.0, 3.0]), np.array([3.0, 4.0])]).tolist()
        [2.0, 3.0]
    """
    length = min(len(curve) for curve in curves)
    return np.mean([curve[:length] for curve in curves], 0)

"""Listing of the runs below a directory, with state and progress. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from metarl.core.errors import MetarlError, RunError
from metarl.runs.directory import CONFIG, METRICS, is_held, read_plain
from metarl.runs.manifest import list_checkpoints, read_manifest

LAST_LINE_BYTES = 1 << 16


class RunStatus(NamedTuple):
    """State and progress of a run."""

    run: Path
    state: str
    """running, finished, ended early (by early stopping or a callback), stopped, or "damaged: " and the reason."""
    algorithm: str
    task_name: str
    saved: int | None
    """Iteration of the newest checkpoint with a valid manifest."""
    total: int | None
    """Configured number of iterations."""
    iteration: int | None
    """Iteration of the last line of metrics."""
    measured: float | None
    """Last return (or other performance) after adaptation."""


def run_statuses(directory: Path) -> Iterator[RunStatus]:
    """Status of every run in a directory and below it.

    Args:
        directory: The directory to search.

    Raises:
        RunError: There is no such directory.
    """
    if not directory.is_dir():
        raise RunError(f"{directory}: not a directory")
    for path in sorted(directory.rglob(CONFIG)):
        yield run_status(path.parent)


def run_status(run: Path) -> RunStatus:
    """Status of one run, from its files alone."""
    last = _last_record(run)
    iteration = last.get("iteration") if isinstance(last.get("iteration"), int) else None
    curve = next((value for value in last.values() if isinstance(value, list)), [])  # a value for each step
    known = [value for value in curve if isinstance(value, int | float)]
    found = (_manifest(folder) for folder in reversed(list_checkpoints(run).values()))
    newest = next((manifest for manifest in found if manifest is not None), {})
    saved = newest.get("iteration")
    try:
        config = read_plain(run)
    except MetarlError as error:
        return RunStatus(run, f"damaged: {error}", "", "", saved, None, iteration, known[-1] if known else None)
    total = config.get("iterations")
    total = total if isinstance(total, int) else None
    if is_held(run):
        state = "running"
    elif saved is not None and total is not None and saved >= total:
        state = "finished"
    elif newest.get("stopped") is not None:
        state = "ended early"
    else:
        state = "stopped"
    algorithm, task_name = str(config.get("algorithm", "")), str(config.get("family", config.get("domain", "")))
    return RunStatus(run, state, algorithm, task_name, saved, total, iteration, known[-1] if known else None)


def _manifest(folder: Path) -> dict[str, Any] | None:
    try:
        return read_manifest(folder)
    except RunError:
        return None


def _last_record(run: Path) -> dict[str, Any]:
    """The last complete record of the metrics; an empty dictionary if there is none."""
    path = run / METRICS
    if path.is_symlink() or not path.is_file():
        return {}
    with open(path, "rb") as file:
        file.seek(max(path.stat().st_size - LAST_LINE_BYTES, 0))
        lines = file.read().splitlines()
    for line in reversed(lines):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue  # truncated by a crash, or by the start of the part that was read
        if isinstance(record, dict):
            return record
    return {}

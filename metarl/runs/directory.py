"""Run directory: config.toml, metrics.jsonl, TensorBoard events and checkpoints, locked by one process at a time."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from pathlib import Path
from typing import Any

import tomli_w

from metarl.config.registry import REINFORCEMENT_LEARNING, ProblemKind
from metarl.config.run import RunConfig
from metarl.config.toml import flat_mapping, from_mapping, read_toml, to_mapping, unset_mapping, unset_options
from metarl.config.validation import validate
from metarl.core.errors import ConfigError, RunError
from metarl.runs.durable import replace_file, sync_directory, writing
from metarl.runs.sources import check_names_no_file

CONFIG = "config.toml"

UNSET = "unset"
"""Entry of config.toml with the names of options that are None, which TOML cannot represent."""
METRICS = "metrics.jsonl"

LOCK = ".lock"

LOGS = ("metrics.csv", "scores.csv", "tracking.json", "wandb")
"""What loggers write in a run directory."""


def create(run: Path, algorithm: str, config: RunConfig, kind: ProblemKind = REINFORCEMENT_LEARNING) -> RunLock:
    """Create a run directory, lock it, and write the resolved configuration.

    Args:
        run: The directory.
        algorithm: Name of the outer update.
        config: The configuration.
        kind: The kind of problem.

    Raises:
        RunError: The directory contains a run or other files, or cannot be written.
    """
    check_free(run, kind)
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{run}: cannot be written: {error.strerror}") from None
    lock = RunLock(run)
    try:
        if holds_run(run):  # created by another process since the check above
            raise _taken(run, kind)
        named = {"algorithm": algorithm}
        if kind != REINFORCEMENT_LEARNING:
            named = {"domain": kind.name, **named}
        frozen = {**named, UNSET: unset_options(config), **to_mapping(config)}
        replace_file(run / CONFIG, tomli_w.dumps(frozen))
        sync_directory(run.parent)
    except OSError as error:
        lock.release()
        raise RunError(f"{run}: cannot be written: {error.strerror}") from None
    except RunError:
        lock.release()
        raise
    return lock


def check_free(run: Path, kind: ProblemKind = REINFORCEMENT_LEARNING) -> None:
    """Check that a new run can be created.

    Args:
        run: The directory.
        kind: The kind of problem.

    Raises:
        RunError: The directory contains a run or other files.
    """
    if holds_run(run):
        raise _taken(run, kind)
    if run.exists() and not _has_only_a_start(run):
        raise RunError(f"{run}: exists and is not an empty directory; choose another --run-dir")
    if is_held(run):
        raise RunError(f"{run}: in use by another process")


def holds_run(run: Path) -> bool:
    """Whether a directory contains a run that has got further than its start.

    A start that failed, for want of memory for instance, leaves a configuration and empty files. They block nothing.
    """
    return (run / CONFIG).exists() and not _has_only_a_start(run)


def _has_only_a_start(run: Path) -> bool:
    """Whether a directory contains only what a training writes before its first iteration ends."""
    if not run.is_dir():
        return False
    names = {path.name for path in run.iterdir()}
    if CONFIG in names and LOCK not in names:
        return False  # somebody else's file of that name
    known = names <= {LOCK, CONFIG, f".{CONFIG}", METRICS, "tensorboard", *LOGS}
    return known and not (METRICS in names and (run / METRICS).stat().st_size)


def _taken(run: Path, kind: ProblemKind) -> RunError:
    way = f"go on with '{kind.command} resume {run}' or --or-resume, or choose another --run-dir"
    return RunError(f"{run}: holds a run already; {way}")


def kind_name(run: Path) -> str:
    """Name of the kind of problem that a run was trained on."""
    return str(read_plain(run).get("domain", REINFORCEMENT_LEARNING.name))


def read_plain(run: Path) -> dict[str, Any]:
    """All entries of a run's configuration file; raises RunError if there is none."""
    if not (run / CONFIG).is_file():
        raise RunError(f"{run}: not a run directory: it has no {CONFIG}")
    return read_toml(run / CONFIG)


def read_config(run: Path, kind: ProblemKind = REINFORCEMENT_LEARNING) -> tuple[str, Any]:
    """Read the configuration of a run.

    Args:
        run: The run directory.
        kind: The expected kind of problem.

    Returns:
        Name of the outer update, and the configuration.

    Raises:
        RunError: There is no run, or it is of another kind.
        ConfigError: The configuration is invalid.
    """
    path, mapping = run / CONFIG, read_plain(run)
    there = mapping.pop("domain", REINFORCEMENT_LEARNING.name)
    if there != kind.name:
        raise RunError(f"{path}: domain = {there!r}; expected {kind.name!r}, which '{kind.command}' is about")
    algorithm = mapping.pop("algorithm", None)
    try:
        default = kind.find(str(algorithm)).config()
    except ConfigError as error:
        raise RunError(f"{path}: {error}") from None
    unset = unset_mapping(mapping.pop(UNSET, []), str(path))
    config = from_mapping(from_mapping(default, unset, str(path)), mapping, str(path))
    validate(config, str(path))
    check_names_no_file(config, str(path))
    return algorithm, config


def first_difference(a: RunConfig, b: RunConfig) -> str | None:
    """Description of the first option in which two configurations differ; None if they are equal."""
    left, right = flat_mapping(a), flat_mapping(b)
    for name in sorted(left.keys() | right.keys()):
        if left.get(name) != right.get(name):
            return f"{name} is {left.get(name)} there and {right.get(name)} here"
    return None


def check_same(run: Path, algorithm: str, config: RunConfig, kind: ProblemKind = REINFORCEMENT_LEARNING) -> None:
    """Check that a run has a given algorithm and configuration.

    Args:
        run: The run directory.
        algorithm: Name of the outer update.
        config: The configuration.
        kind: The kind of problem.

    Raises:
        RunError: They differ; the message names the first difference.
    """
    there, stored = read_config(run, kind)
    difference = first_difference(stored, config)
    if there != algorithm:
        difference = f"algorithm is {there} there and {algorithm} here"
    if difference:
        raise RunError(f"{run}: not resumed: its {difference}")


class RunLock:
    """Exclusive lock of a run directory; the kernel releases the lock of a process that died.

    Args:
        run: The run directory.

    Raises:
        RunError: Another process holds the lock, or the directory cannot be written.
    """

    def __init__(self, run: Path) -> None:
        path = run / LOCK
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
            self._file = os.fdopen(descriptor, "rb", 0)
        except OSError as error:
            raise RunError(f"{path}: cannot be written: {error.strerror}") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise RunError(f"{run}: in use by another process") from None

    def release(self) -> None:
        """Release the lock."""
        self._file.close()


def is_held(run: Path) -> bool:
    """Whether a process currently holds the lock of a run directory."""
    if not (run / LOCK).is_file():
        return False
    try:
        with open(run / LOCK, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


class MetricsFile:
    """metrics.jsonl: one JSON record per iteration.

    Args:
        run: The run directory.
        iteration: Iteration of the checkpoint that training continues from; later records are removed.

    Raises:
        RunError: By every method, if the file cannot be written.
    """

    def __init__(self, run: Path, iteration: int) -> None:
        self._path = run / METRICS
        if self._path.is_symlink() or (self._path.exists() and not self._path.is_file()):
            raise RunError(f"{self._path}: not a file")
        with writing(self._path):
            if self._path.exists():
                self._cut_back(iteration)
            self._file = open(self._path, "a", encoding="utf-8")  # noqa: SIM115 (held until `close`)
            sync_directory(run)

    def _cut_back(self, iteration: int) -> None:
        kept = []
        for line in self._path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                if json.loads(line)["iteration"] <= iteration:
                    kept.append(line)
            except (ValueError, KeyError, TypeError, RecursionError):
                continue  # a line truncated by a crash is later than the checkpoint
        replace_file(self._path, "".join(line + "\n" for line in kept))

    def append(self, record: dict[str, Any]) -> None:
        """Write one record."""
        with writing(self._path):
            self._file.write(json.dumps(record) + "\n")
            self._file.flush()

    def sync(self) -> None:
        """Flush the file to disk."""
        with writing(self._path):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError):  # write errors have been reported already
            self._file.close()


def read_metrics(run_dir: Path | str) -> list[dict[str, Any]]:
    """Records of a run's metrics.jsonl, one per iteration.

    Args:
        run_dir: The run directory.

    Raises:
        RunError: The run has no metrics.
    """
    path = Path(run_dir) / METRICS
    if not path.is_file():
        raise RunError(f"{run_dir}: has no {METRICS}")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

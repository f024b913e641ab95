"""A run directory: config.toml, metrics.jsonl, TensorBoard events and checkpoints, held by one process at a time."""

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

CONFIG = "config.toml"

UNSET = "unset"
"""Entry of config.toml that lists options without a value, which TOML cannot write; defaults may change later."""
METRICS = "metrics.jsonl"

LOCK = ".lock"


def create(run: Path, algorithm: str, config: RunConfig, kind: ProblemKind = REINFORCEMENT_LEARNING) -> RunLock:
    """Make the directory, hold it, and write the resolved configuration; raises RunError where the place is taken."""
    check_free(run, kind)
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{run}: cannot be written: {error.strerror}") from None
    lock = RunLock(run)
    try:
        if (run / CONFIG).exists():  # made by another process while this one waited for the lock
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
    """Raise RunError where a new run cannot be put."""
    if (run / CONFIG).exists():
        raise _taken(run, kind)
    # What a process leaves that died before its configuration was in place does not count.
    if run.exists() and (not run.is_dir() or {path.name for path in run.iterdir()} - {LOCK, f".{CONFIG}"}):
        raise RunError(f"{run}: exists and is not an empty directory; choose another --run-dir")


def _taken(run: Path, kind: ProblemKind) -> RunError:
    way = f"go on with '{kind.command} resume {run}' or --or-resume, or choose another --run-dir"
    return RunError(f"{run}: holds a run already; {way}")


def kind_name(run: Path) -> str:
    """The name of what a run was trained on."""
    return str(read_plain(run).get("domain", REINFORCEMENT_LEARNING.name))


def read_plain(run: Path) -> dict[str, Any]:
    """A run's configuration as it lies in the file, algorithm and all."""
    if not (run / CONFIG).is_file():
        raise RunError(f"{run}: not a run directory: it has no {CONFIG}")
    return read_toml(run / CONFIG)


def read_config(run: Path, kind: ProblemKind = REINFORCEMENT_LEARNING) -> tuple[str, Any]:
    """Algorithm and configuration of a run; raises RunError where it was trained on something else."""
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
    return algorithm, config


def first_difference(a: RunConfig, b: RunConfig) -> str | None:
    """The first option in which two configurations differ, with both values."""
    left, right = flat_mapping(a), flat_mapping(b)
    for name in sorted(left.keys() | right.keys()):
        if left.get(name) != right.get(name):
            return f"{name} is {left.get(name)} there and {right.get(name)} here"
    return None


def check_same(run: Path, algorithm: str, config: RunConfig, kind: ProblemKind = REINFORCEMENT_LEARNING) -> None:
    """Raise RunError where a run was begun with another algorithm or configuration."""
    there, stored = read_config(run, kind)
    difference = first_difference(stored, config)
    if there != algorithm:
        difference = f"algorithm is {there} there and {algorithm} here"
    if difference:
        raise RunError(f"{run}: not resumed: its {difference}")


class RunLock:
    """Holds a run directory for this process; the lock of a process that died is released by the kernel."""

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
        self._file.close()


def is_held(run: Path) -> bool:
    """Whether a process holds a run directory now."""
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
    """metrics.jsonl, one line an iteration, cut back to a checkpoint's iteration when a run is resumed.

    Raises RunError where it cannot be written.
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
                continue  # a line that a crash cut short lies beyond the checkpoint
        replace_file(self._path, "".join(line + "\n" for line in kept))

    def append(self, record: dict[str, Any]) -> None:
        with writing(self._path):
            self._file.write(json.dumps(record) + "\n")
            self._file.flush()

    def sync(self) -> None:
        with writing(self._path):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        with contextlib.suppress(OSError):  # what could not be written has been told of
            self._file.close()


def read_metrics(run_dir: Path | str) -> list[dict[str, Any]]:
    """The records of a run's metrics.jsonl."""
    path = Path(run_dir) / METRICS
    if not path.is_file():
        raise RunError(f"{run_dir}: has no {METRICS}")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

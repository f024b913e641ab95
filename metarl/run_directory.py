"""A run directory: config.toml, metrics.jsonl, TensorBoard events and checkpoints, held by one process at a time."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import IO, Any

import tomli_w

from metarl.config import RunConfig
from metarl.config_files import flat_mapping, from_mapping, read_toml, to_mapping
from metarl.domains import REINFORCEMENT_LEARNING, Domain
from metarl.errors import ConfigError, RunError
from metarl.validation import validate

CONFIG = "config.toml"
METRICS = "metrics.jsonl"


def create(run: Path, algorithm: str, config: RunConfig, domain: Domain = REINFORCEMENT_LEARNING) -> None:
    """Make the directory and write the resolved configuration; raises RunError where the place is taken."""
    if (run / CONFIG).exists():
        raise RunError(
            f"{run}: holds a run already; go on with '{domain.command} resume {run}' or --or-resume, "
            "or choose another --run-dir"
        )
    if run.exists() and (not run.is_dir() or any(run.iterdir())):
        raise RunError(f"{run}: exists and is not an empty directory; choose another --run-dir")
    try:
        run.mkdir(parents=True, exist_ok=True)
        staged = run / f".{CONFIG}"
        named = {"algorithm": algorithm}
        if domain != REINFORCEMENT_LEARNING:
            named = {"domain": domain.name, **named}
        staged.write_text(tomli_w.dumps({**named, **to_mapping(config)}), encoding="utf-8")
        os.replace(staged, run / CONFIG)
    except OSError as error:
        raise RunError(f"{run}: cannot be written: {error.strerror}") from None


def domain_name(run: Path) -> str:
    """The name of what a run was trained on."""
    return str(_read(run).get("domain", REINFORCEMENT_LEARNING.name))


def _read(run: Path) -> dict[str, Any]:
    if not (run / CONFIG).is_file():
        raise RunError(f"{run}: not a run directory: it has no {CONFIG}")
    return read_toml(run / CONFIG)


def read_config(run: Path, domain: Domain = REINFORCEMENT_LEARNING) -> tuple[str, Any]:
    """Algorithm and configuration of a run; raises RunError where it was trained on something else."""
    path, mapping = run / CONFIG, _read(run)
    there = mapping.pop("domain", REINFORCEMENT_LEARNING.name)
    if there != domain.name:
        raise RunError(f"{path}: domain = {there!r}; expected {domain.name!r}, which '{domain.command}' is about")
    algorithm = mapping.pop("algorithm", None)
    try:
        default = domain.find(str(algorithm)).config()
    except ConfigError as error:
        raise RunError(f"{path}: {error}") from None
    config = from_mapping(default, mapping, str(path))
    validate(config, str(path))
    return algorithm, config


def first_difference(a: RunConfig, b: RunConfig) -> str | None:
    """The first option in which two configurations differ, with both values."""
    left, right = flat_mapping(a), flat_mapping(b)
    for name in sorted(left.keys() | right.keys()):
        if left.get(name) != right.get(name):
            return f"{name} is {left.get(name)} there and {right.get(name)} here"
    return None


def check_same(run: Path, algorithm: str, config: RunConfig, domain: Domain = REINFORCEMENT_LEARNING) -> None:
    """Raise RunError where a run was begun with another algorithm or configuration."""
    there, stored = read_config(run, domain)
    difference = first_difference(stored, config)
    if there != algorithm:
        difference = f"algorithm is {there} there and {algorithm} here"
    if difference:
        raise RunError(f"{run}: not resumed: its {difference}")


class RunLock:
    """Holds a run directory for this process; the lock of a process that died is released by the kernel."""

    def __init__(self, run: Path) -> None:
        self._file: IO[str] = open(run / ".lock", "a+")  # noqa: SIM115 (held until `release`)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise RunError(f"{run}: in use by another process") from None

    def release(self) -> None:
        self._file.close()


class MetricsFile:
    """metrics.jsonl, one line an iteration, cut back to a checkpoint's iteration when a run is resumed."""

    def __init__(self, run: Path, iteration: int) -> None:
        self._path = run / METRICS
        if self._path.exists() and not self._path.is_file():
            raise RunError(f"{self._path}: not a file")
        if self._path.exists():
            self._cut_back(iteration)
        self._file = open(self._path, "a", encoding="utf-8")  # noqa: SIM115 (held until `close`)

    def _cut_back(self, iteration: int) -> None:
        kept = []
        for line in self._path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                if json.loads(line)["iteration"] <= iteration:
                    kept.append(line)
            except (ValueError, KeyError, TypeError):
                continue  # a line that a crash cut short lies beyond the checkpoint
        staged = self._path.with_name(f".{METRICS}")
        staged.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
        os.replace(staged, self._path)

    def append(self, record: dict[str, Any]) -> None:
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()

    def sync(self) -> None:
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()

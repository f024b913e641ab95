"""Manifests of checkpoints, and the list of a run's checkpoints. Imports no torch."""

from __future__ import annotations

import hashlib
import json
import math
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from metarl.core.errors import RunError

FORMAT = 2
"""Version of the file format. 2: the manifest contains a hash of itself; 1 can still be read."""

NUMERICS = 2
"""Version of mathematics and defaults; it increases when a resumed run would differ from an uninterrupted one.

1: all runs whose manifest has no version.
2: curvature of all data and steps that use the bound (maml-trpo, pretrain by TRPO); E-MAML's credit; Reptile's
   minibatches; SAC, TD3 and DQN act by theta first; physics, starts and observations of published variants.
"""
MANIFEST = "manifest.json"

MAX_MANIFEST_BYTES = 1 << 20

NUMBERED = "[0-9]{8}"

_UNSEALED = "0" * 64


def sealed(entries: Mapping[str, Any]) -> bytes:
    """A manifest as JSON that contains its own SHA-256, computed with zeros in place of the hash."""
    text = json.dumps({"format": FORMAT, "sha256": _UNSEALED, **entries}, indent=1) + "\n"
    return text.replace(_UNSEALED, hashlib.sha256(text.encode()).hexdigest(), 1).encode()


def _is_intact(data: bytes, seal: Any) -> bool:
    if not isinstance(seal, str) or len(seal) != len(_UNSEALED) or not seal.isascii():
        return False
    return hashlib.sha256(data.replace(seal.encode(), _UNSEALED.encode(), 1)).hexdigest() == seal


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read and check the manifest of a checkpoint; raises RunError if it is missing, damaged or of another format."""
    path = folder / MANIFEST
    try:
        if not is_plain(path) or path.stat().st_size > MAX_MANIFEST_BYTES:
            raise RunError(f"{path}: missing, or not a manifest")
        data = path.read_bytes()
        manifest = json.loads(data)
    except OSError as error:
        raise RunError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise RunError(f"{path}: damaged: not valid JSON") from None
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise RunError(f"{path}: damaged: not a manifest")
    if manifest.get("format") not in (1, FORMAT):
        known = f"this version of metarl reads formats 1 and {FORMAT}"
        raise RunError(f"{path}: format {manifest.get('format')!r}; {known}")
    if manifest["format"] != 1 and not _is_intact(data, manifest.get("sha256")):
        raise RunError(f"{path}: damaged: its hash is not the one that it states")
    if not has_entries(manifest, {"iteration": int, _unit(manifest): int, "wall_seconds": float, "threads": int}):
        raise RunError(f"{path}: damaged: an entry is missing or of another type")
    for name, entry in manifest["files"].items():
        if not (
            Path(name).name == name
            and isinstance(entry, dict)
            and isinstance(entry.get("bytes"), int)
            and isinstance(entry.get("sha256"), str)
        ):
            raise RunError(f"{path}: damaged: {name!r} is not the entry of a file beside it")
    if re.fullmatch(NUMBERED, folder.name) and manifest["iteration"] != int(folder.name):
        raise RunError(f"{path}: damaged: it is that of iteration {manifest['iteration']}")
    return manifest


def data_used(manifest: Mapping[str, Any]) -> int:
    """Amount of data that training had used, in the manifest's unit (environment steps by default)."""
    return int(manifest[_unit(manifest)])


def recorded_scores(run: Path, manifest: Mapping[str, Any], every: int) -> dict[int, float | None]:
    """Scores of all checkpoints at the configured interval up to that of the manifest, also of those removed since.

    Manifests of earlier versions do not list them; then they are read from the checkpoints that are there.

    Args:
        run: The run directory.
        manifest: The manifest of a checkpoint.
        every: Iterations between checkpoints.
    """
    listed = manifest.get("scores")
    if isinstance(listed, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in listed):
        return {int(number): score for number, score in listed}
    there = {i: folder for i, folder in list_checkpoints(run).items() if i <= manifest["iteration"] and i % every == 0}
    return dict(scores_of(there, lambda error: None))


def check_numerics(run: Path, manifest: Mapping[str, Any]) -> None:
    """Check the numerics version of a checkpoint.

    Args:
        run: The run directory, for the error message.
        manifest: The manifest.

    Raises:
        RunError: The version differs from `NUMERICS`, so the resumed run would differ from an uninterrupted one.
    """
    then = manifest.get("numerics", 1)
    if then != NUMERICS:
        raise RunError(
            f"{run}: numerics version {then}; this metarl computes by version {NUMERICS} and would make another run of "
            "it; add --accept-numerics to go on all the same"
        )


def _unit(manifest: Mapping[str, Any]) -> str:
    return str(manifest.get("unit", "environment_steps"))


def has_entries(mapping: Mapping[str, Any], types: Mapping[str, type]) -> bool:
    """Whether a mapping from a file has entries of the given types; integers count as floats."""
    return all(isinstance(mapping.get(name), (int, float) if kind is float else kind) for name, kind in types.items())


def is_plain(path: Path) -> bool:
    """Whether the path is a regular file; a named pipe would block, and a link may point outside the run."""
    return path.is_file() and not path.is_symlink()


def list_checkpoints(run: Path) -> dict[int, Path]:
    """Checkpoint folders of a run by iteration, in ascending order."""
    folder = run / "checkpoints"
    if not folder.is_dir():
        return {}
    return {int(path.name): path for path in sorted(folder.iterdir()) if re.fullmatch(NUMBERED, path.name)}


def scores_of(found: Mapping[int, Path], pass_over: Callable[[RunError], None]) -> dict[int, float]:
    """Scores of checkpoints on meta-validation tasks.

    Args:
        found: Checkpoint folders by iteration.
        pass_over: Called with the error of each damaged checkpoint.
    """
    scores: dict[int, float] = {}
    for iteration, folder in found.items():
        try:
            entry = read_manifest(folder).get("meta_validation")
        except RunError as error:
            pass_over(error)
            continue
        if isinstance(entry, dict) and has_entries(entry, {"score": float}) and math.isfinite(entry["score"]):
            scores[iteration] = float(entry["score"])
    return scores


def select_checkpoint(run: Path, which: str = "last") -> Path:
    """Folder of the last checkpoint, of the best on meta-validation tasks, or of an iteration."""
    found = list_checkpoints(run)
    if not found:
        raise RunError(f"{run}: holds no checkpoint")
    if which == "last":
        return next(reversed(found.values()))
    if which == "best":
        known = scores_of(found, lambda error: warnings.warn(f"{error}; passed over", stacklevel=2))
        if not known:
            raise RunError(f"{run}: no checkpoint was scored on meta-validation tasks (--validation-tasks 0)")
        return found[max(known, key=lambda iteration: known[iteration])]
    if which.isdigit() and int(which) in found:
        return found[int(which)]
    raise RunError(f"{run}: no checkpoint '{which}'; there are last, best, {', '.join(str(i) for i in found)}")

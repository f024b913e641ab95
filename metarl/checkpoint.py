"""Checkpoints: safetensors files and a JSON manifest with their hashes; nothing that is loaded can run code.

A checkpoint is a folder `checkpoints/<iteration, 8 digits>`. It is written beside, flushed to disk, and then
renamed into place, so that a folder of that name is always complete.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors

from metarl.errors import RunError
from metarl.types import State

FORMAT = 1
MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 1 << 20


def save_checkpoint(run: Path, iteration: int, state: State, facts: Mapping[str, Any]) -> Path:
    """Write the state after `iteration` iterations; `facts` are added to the manifest."""
    folder = run / "checkpoints"
    final = folder / f"{iteration:08d}"
    staging = run / f".staging-{iteration:08d}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        files: dict[str, dict[str, Any]] = {}
        for name, params in state.items():
            data = save_safetensors({key: value.detach().cpu().contiguous() for key, value in params.items()})
            _write(staging / f"{name}.safetensors", data)
            files[f"{name}.safetensors"] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        manifest = {"format": FORMAT, "iteration": iteration, **facts, "files": files}
        _write(staging / MANIFEST, (json.dumps(manifest, indent=1) + "\n").encode())
        _sync_directory(staging)
        if final.exists():
            # The same iteration saved again after a resume: the old folder goes only once the new one is complete.
            shutil.rmtree(final)
        os.rename(staging, final)
        _sync_directory(folder)
    except OSError as error:
        shutil.rmtree(staging, ignore_errors=True)
        raise RunError(f"{final}: checkpoint not saved: {error.strerror}") from None
    return final


def load_checkpoint(folder: Path, device: torch.device | str = "cpu") -> tuple[State, dict[str, Any]]:
    """State and manifest of one checkpoint; raises RunError where anything does not match its hash."""
    manifest = read_manifest(folder)
    state: State = {}
    for name, expected in manifest["files"].items():
        path = folder / Path(name).name
        try:
            if not _is_plain(path) or path.stat().st_size != expected["bytes"]:
                raise RunError(f"{path}: damaged: not the file that was saved")
            data = path.read_bytes()
        except OSError as error:
            raise RunError(f"{path}: damaged: {error.strerror}") from None
        if hashlib.sha256(data).hexdigest() != expected["sha256"]:
            raise RunError(f"{path}: damaged: its hash is not the one in {MANIFEST}")
        try:
            state[path.stem] = {key: value.to(device) for key, value in load_safetensors(data).items()}
        except (SafetensorError, ValueError) as error:
            raise RunError(f"{path}: damaged: {error}") from None
    if "theta" not in state:
        raise RunError(f"{folder}: damaged: {MANIFEST} lists no theta.safetensors")
    return aligned(state), manifest


def aligned(state: State) -> State:
    """The same state in memory of its own.

    Vectorised kernels may round differently by a tensor's alignment in memory, and views into a file's buffer or into
    one flat vector start anywhere: a resumed run must find its parameters aligned as an uninterrupted one does.
    """
    return {name: {key: value.clone() for key, value in params.items()} for name, params in state.items()}


def has_entries(mapping: Mapping[str, Any], types: Mapping[str, type]) -> bool:
    """Whether a mapping that was read from a file has entries of these types (a whole number will do for a float)."""
    return all(isinstance(mapping.get(name), (int, float) if kind is float else kind) for name, kind in types.items())


def _is_plain(path: Path) -> bool:
    """Whether there is a regular file: reading a named pipe would wait for ever, and a link may lead anywhere."""
    return path.is_file() and not path.is_symlink()


def read_manifest(folder: Path) -> dict[str, Any]:
    """A checkpoint's manifest, checked as far as its own form goes."""
    path = folder / MANIFEST
    try:
        if not _is_plain(path) or path.stat().st_size > MAX_MANIFEST_BYTES:
            raise RunError(f"{path}: missing, or not a manifest")
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise RunError(f"{path}: damaged: not valid JSON") from None
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise RunError(f"{path}: damaged: not a manifest")
    if manifest.get("format") != FORMAT:
        raise RunError(f"{path}: format {manifest.get('format')!r}; this version of metarl reads format {FORMAT}")
    if not has_entries(manifest, {"iteration": int, _unit(manifest): int, "wall_seconds": float, "threads": int}):
        raise RunError(f"{path}: damaged: an entry is missing or of another type")
    for entry in manifest["files"].values():
        if not (
            isinstance(entry, dict) and isinstance(entry.get("bytes"), int) and isinstance(entry.get("sha256"), str)
        ):
            raise RunError(f"{path}: damaged: not a manifest")
    return manifest


def data_used(manifest: Mapping[str, Any]) -> int:
    """Data that training had used, in the unit that the manifest names (environment steps where it names none)."""
    return int(manifest[_unit(manifest)])


def _unit(manifest: Mapping[str, Any]) -> str:
    return str(manifest.get("unit", "environment_steps"))


def list_checkpoints(run: Path) -> dict[int, Path]:
    """Checkpoint folders of a run by iteration, oldest first."""
    folder = run / "checkpoints"
    if not folder.is_dir():
        return {}
    return {int(path.name): path for path in sorted(folder.iterdir()) if path.name.isdigit() and len(path.name) == 8}


def load_newest(run: Path, device: torch.device | str = "cpu") -> tuple[State, dict[str, Any]] | None:
    """The newest checkpoint that is whole, with a warning for each damaged one passed over; None if there is none."""
    problems = []
    for folder in reversed(list_checkpoints(run).values()):
        try:
            loaded = load_checkpoint(folder, device)
        except RunError as error:
            problems.append(str(error))
            continue
        for problem in problems:
            warnings.warn(f"{problem}; using {folder.name} instead", stacklevel=2)
        return loaded
    if problems:
        raise RunError(f"{run}: no checkpoint is whole: {problems[0]}")
    return None


def select_checkpoint(run: Path, which: str = "last") -> Path:
    """The folder of the last checkpoint, the best on meta-validation tasks, or that of an iteration."""
    found = list_checkpoints(run)
    if not found:
        raise RunError(f"{run}: holds no checkpoint")
    if which == "last":
        return next(reversed(found.values()))
    if which == "best":
        known: dict[Path, float] = {}
        for path in found.values():
            try:
                entry = read_manifest(path).get("meta_validation")
            except RunError as error:
                warnings.warn(f"{error}; passed over", stacklevel=2)
                continue
            if isinstance(entry, dict) and has_entries(entry, {"score": float}):
                known[path] = entry["score"]
        if not known:
            raise RunError(f"{run}: no checkpoint was scored on meta-validation tasks (--validation-tasks 0)")
        return max(known, key=lambda path: known[path])
    if which.isdigit() and int(which) in found:
        return found[int(which)]
    raise RunError(f"{run}: no checkpoint '{which}'; there are last, best, {', '.join(str(i) for i in found)}")


def load_selected(run: Path, which: str = "last", device: torch.device | str = "cpu") -> tuple[State, dict[str, Any]]:
    """State and manifest of a checkpoint chosen as in `select_checkpoint`; `last` passes over damaged ones."""
    if which != "last":
        return load_checkpoint(select_checkpoint(run, which), device)
    loaded = load_newest(run, device)
    if loaded is None:
        raise RunError(f"{run}: holds no checkpoint")
    return loaded


def _write(path: Path, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Checkpoints: safetensors files and a JSON manifest with their hashes; loading them executes no code.

A checkpoint is a folder `checkpoints/<iteration, 8 digits>`. It is written to a staging folder, flushed to disk, and
then renamed, so that a folder of that name is always complete.
"""

from __future__ import annotations

import hashlib
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

from metarl.core.errors import RunError
from metarl.core.params import State
from metarl.runs.durable import sync_directory, write_file
from metarl.runs.manifest import (
    MANIFEST,
    is_plain,
    list_checkpoints,
    read_manifest,
    scores_of,
    sealed,
    select_checkpoint,
)

MAX_HEADER_BYTES = 1 << 22
"""Maximum size of the header of a safetensors file."""


def save_checkpoint(run: Path, iteration: int, state: State, facts: Mapping[str, Any]) -> Path:
    """Write a checkpoint.

    Args:
        run: The run directory.
        iteration: Number of completed iterations.
        state: The state after them.
        facts: Further entries of the manifest.

    Returns:
        The folder of the checkpoint.

    Raises:
        RunError: The checkpoint cannot be written.
    """
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
            write_file(staging / f"{name}.safetensors", data)
            files[f"{name}.safetensors"] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        write_file(staging / MANIFEST, sealed({"iteration": iteration, **facts, "files": files}))
        sync_directory(staging)
        if final.exists():
            # A damaged checkpoint of the same iteration is replaced by one rename.
            _put_aside(run, final)
        os.rename(staging, final)
        sync_directory(folder)
        sync_directory(run)
        shutil.rmtree(run / f".replaced-{iteration:08d}", ignore_errors=True)
    except OSError as error:
        shutil.rmtree(staging, ignore_errors=True)
        raise RunError(f"{final}: checkpoint not saved: {error.strerror}") from None
    return final


def _put_aside(run: Path, folder: Path) -> Path:
    aside = run / f".replaced-{folder.name}"
    shutil.rmtree(aside, ignore_errors=True)
    os.rename(folder, aside)
    return aside


def tidy(run: Path) -> None:
    """Clean up after a process that died while it saved: remove staging folders, and restore replaced checkpoints.

    Args:
        run: The run directory.

    Raises:
        RunError: A replaced checkpoint cannot be restored.
    """
    for left in run.glob(".staging-*"):
        shutil.rmtree(left, ignore_errors=True)
    for aside in run.glob(".replaced-*"):
        place = run / "checkpoints" / aside.name.removeprefix(".replaced-")
        if place.exists():
            shutil.rmtree(aside, ignore_errors=True)
            continue
        try:
            os.rename(aside, place)
        except OSError as error:
            raise RunError(f"{aside}: cannot be put back: {error.strerror}") from None


def load_checkpoint(folder: Path, device: torch.device | str = "cpu") -> tuple[State, dict[str, Any]]:
    """State and manifest of one checkpoint; raises RunError if a file does not match its hash."""
    manifest = read_manifest(folder)
    state: State = {}
    for name, expected in manifest["files"].items():
        path = folder / name
        data = _read(path, expected)
        try:
            # Copies, since kernels may round differently where memory is aligned as in the file.
            state[path.stem] = {key: value.to(device, copy=True) for key, value in load_safetensors(data).items()}
        except (SafetensorError, ValueError, KeyError, RuntimeError, TypeError) as error:
            raise RunError(f"{path}: damaged: {type(error).__name__}: {error}") from None
    if "theta" not in state:
        raise RunError(f"{folder}: damaged: {MANIFEST} lists no theta.safetensors")
    return aligned(state), manifest


def _read(path: Path, expected: Mapping[str, Any]) -> bytes:
    """The bytes of a safetensors file, after a check of its size, its header's size and its hash."""
    try:
        if not is_plain(path) or path.stat().st_size != expected["bytes"]:
            raise RunError(f"{path}: damaged: not the file that was saved")
        check_header(path)
        with open(path, "rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != expected["sha256"]:
                raise RunError(f"{path}: damaged: its hash is not the one in {MANIFEST}")
            file.seek(0)
            return file.read()
    except OSError as error:
        raise RunError(f"{path}: damaged: {error.strerror}") from None


def check_header(path: Path) -> None:
    """Raise RunError if the header of a safetensors file is too large; a valid one has a few kilobytes."""
    with open(path, "rb") as file:
        if int.from_bytes(file.read(8), "little") > MAX_HEADER_BYTES:
            raise RunError(f"{path}: damaged: its header is larger than {MAX_HEADER_BYTES} bytes")


def aligned(state: State) -> State:
    """Copy all tensors of a state to memory of their own.

    Vectorised kernels may round differently depending on a tensor's alignment, and views into a file's buffer or into a
    flat vector have arbitrary alignment. With copies a resumed run has the same alignment as an uninterrupted one.
    """
    return {name: {key: value.clone() for key, value in params.items()} for name, params in state.items()}


def load_newest(run: Path, device: torch.device | str = "cpu") -> tuple[State, dict[str, Any]] | None:
    """Load the newest intact checkpoint, with a warning if damaged ones were skipped.

    Args:
        run: The run directory.
        device: Device of the tensors.

    Returns:
        State and manifest; None if there is no checkpoint.

    Raises:
        RunError: There are checkpoints, but all are damaged.
    """
    problems: list[str] = []
    for folder in reversed(list_checkpoints(run).values()):
        try:
            loaded = load_checkpoint(folder, device)
        except RunError as error:
            problems.append(str(error))
            continue
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            warnings.warn(f"{problems[0]}{more}; using {folder.name} instead", stacklevel=2)
        return loaded
    if problems:
        raise RunError(f"{run}: no checkpoint is whole: {problems[0]}")
    return None


def prune(run: Path, keep: int, newest: int) -> None:
    """Remove old checkpoints, except the newest ones and the best on meta-validation tasks.

    Args:
        run: The run directory.
        keep: Number of newest checkpoints to keep.
        newest: Last valid iteration. Later checkpoints were skipped as damaged; they are kept for inspection.
    """
    found = {iteration: folder for iteration, folder in list_checkpoints(run).items() if iteration <= newest}
    scores = scores_of(found, lambda error: None)
    kept = {*sorted(found)[-keep:], max(scores, key=lambda i: scores[i], default=newest)}
    for iteration, folder in found.items():
        if iteration not in kept:
            # Renamed first, so that a folder with the name of a checkpoint is always complete.
            try:
                shutil.rmtree(_put_aside(run, folder), ignore_errors=True)
            except OSError as error:
                warnings.warn(f"{folder}: not removed: {error.strerror}", stacklevel=2)


def load_selected(run: Path, which: str = "last", device: torch.device | str = "cpu") -> tuple[State, dict[str, Any]]:
    """Load a checkpoint.

    Args:
        run: The run directory.
        which: "last" (the newest intact one), "best" (on meta-validation tasks), or an iteration.
        device: Device of the tensors.

    Returns:
        State and manifest.

    Raises:
        RunError: There is no such checkpoint, or it is damaged.
    """
    if which != "last":
        return load_checkpoint(select_checkpoint(run, which), device)
    loaded = load_newest(run, device)
    if loaded is None:
        raise RunError(f"{run}: holds no checkpoint")
    return loaded

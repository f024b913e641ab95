"""Images decoded once: one .npy file that is read in place, and the classes' names beside it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from metarl.core.errors import RunError


def cached(
    name: str, sources: Sequence[Path], decode: Callable[[], tuple[np.ndarray, list[str]]]
) -> tuple[np.ndarray, list[str]]:
    """What `decode` gives, images (n, channels, height, width) and the class of each, kept until the sources change.

    Files lie in $METARL_CACHE, by default ~/.cache/metarl. Sources are known by path, size and time of change.
    """
    stamps = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in sources]
    digest = hashlib.sha256(json.dumps(stamps).encode()).hexdigest()[:16]
    folder = Path(os.environ.get("METARL_CACHE", Path.home() / ".cache" / "metarl"))
    pixels, labels = folder / f"{name}-{digest}.npy", folder / f"{name}-{digest}.json"
    if not (pixels.is_file() and labels.is_file()):
        images, names = decode()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _replace(pixels, lambda path: np.save(path, images))
            _replace(labels, lambda path: path.write_text(json.dumps(names), encoding="utf-8"))
        except OSError as error:
            raise RunError(
                f"{folder}: cannot be written: {error.strerror}; set METARL_CACHE to another folder"
            ) from None
    try:
        return np.load(pixels, mmap_mode="r", allow_pickle=False), json.loads(labels.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{pixels}: damaged: {error}; delete it to decode again") from None


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Written beside and renamed, so that two processes that decode at once do no harm."""
    staged = path.with_name(f".{os.getpid()}-{path.name}")
    write(staged)
    os.replace(staged, path)

"""Atomic, durable file writes: after a crash a file has either its old or its new content."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metarl.core.errors import RunError


def write_file(path: Path, data: bytes) -> None:
    """Write a file and flush it to disk."""
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: Path, text: str) -> None:
    """Replace the content of a file atomically."""
    staged = path.with_name(f".{path.name}")
    write_file(staged, text.encode())
    os.replace(staged, path)
    sync_directory(path.parent)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Convert OSError inside the block to RunError with the path."""
    try:
        yield
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror}") from None


def sync_directory(path: Path) -> None:
    """Flush a directory to disk: the names of files that were created, renamed or removed in it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

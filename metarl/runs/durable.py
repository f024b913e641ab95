"""Writing files so that a crash leaves the old one or the new one, never half of either."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metarl.core.errors import RunError


def write_file(path: Path, data: bytes) -> None:
    """Write a file and wait until the disk has it."""
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: Path, text: str) -> None:
    """Put a text in the place of what was there."""
    staged = path.with_name(f".{path.name}")
    write_file(staged, text.encode())
    os.replace(staged, path)
    sync_directory(path.parent)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise RunError, which names the path, in place of the operating system's error."""
    try:
        yield
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror}") from None


def sync_directory(path: Path) -> None:
    """Wait until the disk has a directory's entries: the files that were made, renamed or removed in it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""What a process asks of its machine: devices and types, torch's threads, the memory allocator."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from metarl.core.errors import ConfigError

DTYPES = {"float32": torch.float32, "float64": torch.float64}


def check_device(name: str) -> torch.device:
    """The torch device of that name; raises ConfigError where this machine has none."""
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"--device = {name}; expected a device of this machine: {str(error).splitlines()[0]}"
        ) from None
    return device


@contextmanager
def torch_threads(number: int | None) -> Iterator[None]:
    """torch on `number` threads meanwhile (None: as many as it has).

    Threads of torch's that have nothing to do wait for the next operation without sleeping, for milliseconds, and
    keep the cores from whatever else would run there.
    """
    before = torch.get_num_threads()
    if number is None or number == before:
        yield
        return
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> None:
    """Ask glibc not to return freed memory while this process lives; elsewhere it does nothing."""
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_MMAP_THRESHOLD, 32 << 20)  # the largest that glibc accepts

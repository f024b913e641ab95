"""Machine settings of a process: devices and dtypes, torch's threads, the memory allocator."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from metarl.core.errors import ConfigError

DTYPES = {"float32": torch.float32, "float64": torch.float64}
"""Floating-point types by their name in a configuration."""


def check_device(name: str) -> torch.device:
    """The torch device of a name.

    Args:
        name: Such as "cpu" or "cuda:0".

    Raises:
        ConfigError: This machine has no such device.

    Example:
        >>> check_device("cpu")
        device(type='cpu')
    """
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
    """Limit torch's intra-op threads inside the block, so that environments can step on the same cores.

    Idle threads of torch spin for milliseconds before they sleep, and occupy the cores during that time.

    Args:
        number: Threads inside the block; None keeps the current number.
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
    """Configure glibc to keep freed memory for the lifetime of this process; a no-op without glibc."""
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_MMAP_THRESHOLD, 32 << 20)  # the largest that glibc accepts

"""Machine settings of a process: devices and dtypes, torch's threads, the memory allocator."""

from __future__ import annotations

import ctypes
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from metarl.core.errors import ConfigError
from metarl.core.launch import busy_cores, shorten_spin, threads_of_user, usable_cores

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


ELEMENTS_PER_THREAD = 65_536
"""Elements of the largest tensor of an iteration for which a further thread is worth its cost.

torch divides an elementwise operation among threads from 32,768 elements on.
"""


def choose_threads(elements: int, *, processes: int = 1) -> int:
    """Number of torch's threads that a workload is worth on this machine now.

    OMP_NUM_THREADS wins, which torchrun sets too. Otherwise it is at most a thread for each `ELEMENTS_PER_THREAD`, for
    each core that other processes leave free, and for each of torch's present threads. If torch was loaded before
    `import metarl`, idle threads spin for milliseconds, so half of the free cores are used.

    Args:
        elements: Elements of the largest tensor of an iteration.
        processes: Processes of this program on this machine, which share its cores.
    """
    if (given := threads_of_user()) is not None:
        return given
    free = max(1, round(usable_cores() - busy_cores())) // processes
    if not shorten_spin():
        free //= 2
    return max(1, min(elements // ELEMENTS_PER_THREAD, free, torch.get_num_threads()))


@contextmanager
def torch_threads(number: int | None) -> Iterator[None]:
    """Set torch's intra-op threads inside the block, for instance so that environments can step on the same cores.

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


@contextmanager
def generators_restored() -> Iterator[None]:
    """Restore the state of the global random generators of Python, NumPy and torch after the block."""
    before = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        try:
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])

"""Keeping freed memory for the next tensor of the same size.

A meta-iteration allocates and frees the same megabyte-sized tensors over and over. glibc gives such memory back
to the kernel at once, and each new tensor then pays for its page faults: a fifth to a quarter of an iteration on
the reference workload of `python -m benchmarks.throughput`.
"""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> None:
    """Ask glibc not to return freed memory while this process lives; elsewhere it does nothing."""
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_MMAP_THRESHOLD, 32 << 20)  # the largest that glibc accepts

"""How a process was launched (rank, restarts, OpenMP's settings), and its exit. Imports no torch."""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path
from typing import NoReturn

SHORT_SPIN = {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "1"}
"""Settings of libgomp and libomp with which an idle thread sleeps after about a microsecond and a millisecond.

By default it spins for milliseconds, on a core that another process could use. On two cores, two trainings at once
then take eleven times as long as with these settings, and one training alone the same time
(`python -m benchmarks.speed contention`).
"""

_SPIN_NAMES = ("OMP_WAIT_POLICY", *SHORT_SPIN)

_OPENMP = ("libgomp", "libomp", "libiomp")


def place_of_launch() -> tuple[int, int]:
    """Rank of this process and number of processes, from torchrun's environment variables; (0, 1) without torchrun."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def restarts() -> int:
    """Number of times that torchrun has restarted these processes after a failure."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


@cache
def shorten_spin() -> bool:
    """Let idle threads of OpenMP sleep soon, unless the user's environment has a setting of its own.

    The setting takes effect only before OpenMP is loaded, which `import torch` does. `import metarl` makes it; further
    calls return the answer of the first. Child processes inherit the setting.

    Returns:
        Whether idle threads of this process sleep soon, or as the user's environment says.
    """
    if any(os.environ.get(name, SHORT_SPIN.get(name)) != SHORT_SPIN.get(name) for name in _SPIN_NAMES):
        return True
    in_time = all(name in os.environ for name in SHORT_SPIN) or not _openmp_is_loaded()
    os.environ.update(SHORT_SPIN)
    return in_time


def _openmp_is_loaded() -> bool:
    """Whether a library of OpenMP is mapped into this process; without /proc, whether torch is imported."""
    try:
        maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "torch" in sys.modules
    return any(name in maps for name in _OPENMP)


def thread_environment(threads: int) -> dict[str, str]:
    """Environment of a child process with a number of OpenMP threads that sleep soon when they are idle.

    Args:
        threads: The child's threads.
    """
    spin = {} if any(name in os.environ for name in _SPIN_NAMES) else SHORT_SPIN
    return {**os.environ, **spin, "OMP_NUM_THREADS": str(threads)}


def leave(code: int) -> NoReturn:
    """Exit this process with a code; call it after all files are closed.

    One of several processes exits by `os._exit`: gloo's threads may still hold Python objects, and releasing those
    during the interpreter's shutdown occasionally aborts the process.

    Args:
        code: The exit code.
    """
    if place_of_launch()[1] == 1:
        sys.exit(code)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)

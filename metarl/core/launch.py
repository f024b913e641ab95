"""How a process was launched (rank, restarts, OpenMP's settings), and its exit. Imports no torch."""

from __future__ import annotations

import os
import sys
import time
from functools import cache
from pathlib import Path
from typing import NoReturn

from metarl.core.errors import ConfigError

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


def usable_cores() -> int:
    """Number of cores that this process may use, by its affinity and the quota of its control group."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min(cores, _quota(Path("/sys/fs/cgroup")))))


def _quota(group: Path) -> float:
    """Cores that a control group grants (cgroup version 2, or version 1); infinite without a limit."""
    try:
        if (group / "cpu.max").exists():
            granted, period = (group / "cpu.max").read_text().split()
        else:
            granted, period = (
                (group / "cpu" / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period")
            )
        return float("inf") if granted in ("max", "-1") else int(granted) / int(period)
    except (OSError, ValueError):
        return float("inf")


def busy_cores(seconds: float = 0.1) -> float:
    """Number of cores that other processes used during a sleep of this one; processes with a nice value do not count.

    Args:
        seconds: Length of the sleep.
    """
    before, own = _ticks(), time.process_time()
    time.sleep(seconds)
    ticks, own = _ticks() - before, time.process_time() - own
    return max(0.0, ticks / os.sysconf("SC_CLK_TCK") - own) / seconds if ticks else 0.0


def _ticks() -> int:
    """Clock ticks in which the cores worked on processes without a nice value, on the kernel or on interrupts."""
    try:
        user, _, system, _, _, irq, softirq, *_ = map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:])
    except (OSError, ValueError):
        return 0
    return user + system + irq + softirq


def threads_of_user() -> int | None:
    """Threads that OMP_NUM_THREADS asks for, torchrun's setting included; None if it is not set to a number."""
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(first) if first.isdigit() and int(first) > 0 else None


def pin_threads(threads: int | None) -> None:
    """Use a number of threads in this process, as if OMP_NUM_THREADS were set to it; None changes nothing.

    Args:
        threads: At least one thread.

    Raises:
        ConfigError: There are none.
    """
    if threads is not None and threads < 1:
        raise ConfigError(f"--threads = {threads}; expected at least 1")
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)


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

"""Rank, world size and restarts from torchrun's environment variables, and the exit of a process. Imports no torch."""

from __future__ import annotations

import os
import sys
from typing import NoReturn


def place_of_launch() -> tuple[int, int]:
    """Rank of this process and number of processes, from torchrun's environment variables; (0, 1) without torchrun."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def restarts() -> int:
    """Number of times that torchrun has restarted these processes after a failure."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


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

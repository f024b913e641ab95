"""What torchrun says of the processes that it started, in their environment; no torch is loaded to read it."""

from __future__ import annotations

import os


def place_of_launch() -> tuple[int, int]:
    """This process's number and the number of processes, as torchrun says; (0, 1) without it."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def restarts() -> int:
    """How often torchrun has started these processes again after a failure."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))

"""What torchrun says of the processes that it started, in their environment, and how they end; no torch is loaded."""

from __future__ import annotations

import os
import sys
from typing import NoReturn


def place_of_launch() -> tuple[int, int]:
    """This process's number and the number of processes, as torchrun says; (0, 1) without it."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def restarts() -> int:
    """How often torchrun has started these processes again after a failure."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def leave(code: int) -> NoReturn:
    """End this process with an exit code, once all files are closed.

    One of several processes ends at once: gloo's threads may still hold Python objects, and to give them back while the
    interpreter is taken down aborts the process now and then, after all its work is done.
    """
    if place_of_launch()[1] == 1:
        sys.exit(code)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)

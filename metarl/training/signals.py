"""Signals that stop training between two iterations."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any

from metarl.core.ranks import all_reduce_max


class StopSignals:
    """Handler of SIGINT and SIGTERM inside the block: the first requests a stop, the second stops immediately."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._previous[number] = signal.signal(number, self._stop)
            except ValueError:  # only the main thread can install handlers
                break
        return self

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        signal.signal(number, signal.SIG_DFL)

    def anywhere(self) -> int | None:
        """The signal that any rank received, equal on all ranks; None if there is none."""
        return all_reduce_max(self.received or 0)[0] or None

    def __exit__(self, *_: object) -> None:
        for number, previous in self._previous.items():
            signal.signal(number, previous)

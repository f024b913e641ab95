"""Stopping a training between two iterations."""

from __future__ import annotations

import contextlib
import signal
from types import FrameType
from typing import Any

from metarl.ranks import largest


class StopSignals:
    """SIGINT and SIGTERM ask for a stop after the iteration; a second one stops at once."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._previous[number] = signal.signal(number, self._stop)
            except ValueError:  # not the main thread: whoever runs us handles signals
                break
        return self

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        for each in self._previous:
            signal.signal(each, signal.SIG_DFL)

    def anywhere(self) -> int | None:
        """The signal that any rank received, the same for all of them."""
        return largest(self.received or 0)[0] or None

    def __exit__(self, *_: object) -> None:
        for number, previous in self._previous.items():
            signal.signal(number, previous)


def stop_on_terminate() -> None:
    """Before and after training SIGTERM ends a command as Ctrl-C does, with its own exit code and nothing left open."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    with contextlib.suppress(ValueError):  # not the main thread
        signal.signal(signal.SIGTERM, stop)

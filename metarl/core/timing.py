"""Wall time and bytes sent, by phase."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from metarl.core.ranks import current


class Phases:
    """Seconds spent in each named phase of one iteration, and bytes sent to other ranks.

    Example:
        >>> phase = Phases()
        >>> with phase("collect"):
        ...     pass
        >>> list(phase.seconds), phase.bytes_sent
        (['collect'], {'collect': 0})
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.bytes_sent: dict[str, int] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        start, before = time.perf_counter(), current().bytes_sent
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
            self.bytes_sent[name] = self.bytes_sent.get(name, 0) + current().bytes_sent - before

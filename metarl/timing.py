"""Wall time and exchanged bytes by phase."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from metarl.ranks import current


class Phases:
    """Seconds spent in each named phase of one iteration, and bytes handed to other ranks."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.exchanged: dict[str, int] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        start, before = time.perf_counter(), current().exchanged
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
            self.exchanged[name] = self.exchanged.get(name, 0) + current().exchanged - before

"""Threads of torch beside those, and the processes, that step environments."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def torch_threads(number: int | None) -> Iterator[None]:
    """torch on `number` threads meanwhile (None: as many as it has).

    Threads of torch's that have nothing to do wait for the next operation without sleeping, for milliseconds, and
    keep the cores from whatever else would run there.
    """
    before = torch.get_num_threads()
    if number is None or number == before:
        yield
        return
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)

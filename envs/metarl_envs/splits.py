"""Splits of families whose tasks are not uniform in a box, and the fixed lists that PEARL draws from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from metarl.families.splits import SPLITS, ListedSplits, check_split
from metarl.families.tasks import Tasks, number_of_tasks, take_tasks, task_at

Draw = Callable[[Any, int], Tasks]
"""n tasks from a random generator of NumPy, new or legacy."""

PEARL_SEED = 1337
OTHER_TASKS = 20
"""Tasks of the splits that PEARL's lists do not have: meta-validation and out-of-distribution."""


class DrawnSplits:
    """Tasks drawn by a function; the out-of-distribution split, if there is one, by another."""

    kind = "disjoint"

    def __init__(self, draw: Draw, outside: Draw | None = None) -> None:
        self._draw, self._outside = draw, outside
        self.names = SPLITS[:3] if outside is None else SPLITS

    def sample(self, n: int, split: str, rng: np.random.Generator) -> Tasks:
        check_split(split, self.names)
        drawn = self._outside if split == "out-of-distribution" else self._draw
        assert drawn is not None
        return drawn(rng, n)


def pearl_lists(draw: Draw, outside: Draw | None, *, training: int, test: int) -> ListedSplits:
    """PEARL's division of tasks drawn with seed 1337: the first for training, the next for test; ours come after them.

    The lists are the published ones where `draw` makes the published calls of NumPy's legacy generator.
    """
    generator = np.random.RandomState(PEARL_SEED)
    published = draw(generator, training + test)
    parts = {
        "meta-train": take_tasks(published, slice(training)),
        "meta-validation": draw(generator, OTHER_TASKS),
        "meta-test": take_tasks(published, slice(training, None)),
    }
    if outside is not None:
        parts["out-of-distribution"] = outside(generator, OTHER_TASKS)
    return ListedSplits(
        {split: [task_at(part, i) for i in range(number_of_tasks(part))] for split, part in parts.items()}
    )


def uniform(name: str, low: float, high: float, shape: tuple[int, ...] = ()) -> Draw:
    """One entry, uniform in a box."""
    return lambda rng, n: {name: rng.uniform(low, high, (n, *shape)).astype(np.float32)}


def directions(name: str) -> Draw:
    """Unit vectors at a uniform angle."""
    return lambda rng, n: {name: on_circle(rng.uniform(0, 2 * np.pi, n))}


def on_circle(angles: np.ndarray) -> np.ndarray:
    return np.stack([np.cos(angles), np.sin(angles)], -1).astype(np.float32)

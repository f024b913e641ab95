"""Splits of families with tasks that are not uniform in a box, and PEARL's fixed lists of tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from metarl.families.splits import SPLITS, ListedSplits, check_split
from metarl.families.tasks import Tasks, number_of_tasks, take_tasks, task_at

Draw = Callable[[Any, int], Tasks]
"""A function that draws n tasks from a random generator of NumPy, new or legacy."""

PEARL_SEED = 1337
OTHER_TASKS = 20
"""Number of tasks of the splits that PEARL does not define: meta-validation and out-of-distribution."""


class DrawnSplits:
    """Splits with tasks drawn by functions.

    Args:
        draw: Draws the tasks of all splits except out-of-distribution.
        outside: Draws out-of-distribution tasks; without it there is no such split.
    """

    kind = "disjoint"

    def __init__(self, draw: Draw, outside: Draw | None = None) -> None:
        self._draw, self._outside = draw, outside
        self.names = SPLITS[:3] if outside is None else SPLITS

    def sample(self, n: int, split: str, rng: np.random.Generator) -> Tasks:
        """Draw n tasks of a split; raises FamilyError if there is no such split."""
        check_split(split, self.names)
        drawn = self._outside if split == "out-of-distribution" else self._draw
        assert drawn is not None
        return drawn(rng, n)


def pearl_lists(draw: Draw, outside: Draw | None, *, training: int, test: int) -> ListedSplits:
    """PEARL's division of tasks drawn with seed 1337: the first are for training, the next for test.

    The lists are the published ones if `draw` makes the published calls of NumPy's legacy generator. The other splits
    are drawn after them.

    Args:
        draw: Draws tasks.
        outside: Draws out-of-distribution tasks; without it there is no such split.
        training: Number of training tasks.
        test: Number of test tasks.
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
    """A function that draws one task entry uniformly in a box.

    Args:
        name: Name of the entry.
        low: Lower bound.
        high: Upper bound.
        shape: Shape of the entry.
    """
    return lambda rng, n: {name: rng.uniform(low, high, (n, *shape)).astype(np.float32)}


def directions(name: str) -> Draw:
    """A function that draws unit vectors in the plane at uniform angles."""
    return lambda rng, n: {name: on_circle(rng.uniform(0, 2 * np.pi, n))}


def on_circle(angles: np.ndarray) -> np.ndarray:
    """Points on the unit circle, float32, shape (*angles.shape, 2)."""
    return np.stack([np.cos(angles), np.sin(angles)], -1).astype(np.float32)

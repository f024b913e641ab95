"""The contract of reference rows: returns that a learner is measured against, one number an episode of a trial."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from metarl.core.errors import FamilyError

Returns = Callable[[Mapping[str, ndarray], int, int, np.random.Generator], ndarray]
"""A function of a batch of tasks, the episodes of a trial, the trials a task and a generator: (tasks, episodes)."""


@dataclass(frozen=True)
class Reference:
    """A policy or a value that knows or computes more than a learner, measured by the return of each episode.

    A trial is K episodes of one task, through which a learner may carry what it found; episode k of a reference is
    what the reference gets there with all it learnt in the episodes before. A family lists its references in
    `TaskFamily.references`.

    Example:
        >>> arms = {"probabilities": np.array([[0.2, 0.6], [0.9, 0.5]])}
        >>> def best(tasks, episodes, trials, rng):
        ...     return np.repeat(tasks["probabilities"].max(-1)[:, None], episodes, 1)
        >>> oracle = Reference("pulls the best arm", best, exact=True, bound=True, knows_task=True)
        >>> oracle.measure(arms, episodes=3, trials=1, rng=np.random.default_rng(0)).tolist()
        [[0.6, 0.6, 0.6], [0.9, 0.9, 0.9]]
    """

    summary: str
    """What it does and which prior it has, in a line."""
    returns: Returns
    """Return of each episode for each task: an expectation, or an average over simulated trials."""
    exact: bool = False
    """Whether `returns` are expectations; otherwise they are averages over simulated trials."""
    bound: bool = False
    """Whether no learner exceeds it in expectation, over tasks of the family's distribution."""
    knows_task: bool = False
    """Whether it is told the task, which no learner is."""
    most_episodes: int | None = None
    """Longest trial that it can be computed for; None: any."""

    def measure(
        self, tasks: Mapping[str, ndarray], episodes: int, trials: int, rng: np.random.Generator
    ) -> Float[ndarray, "tasks episodes"]:
        """Return of each episode of a trial, for each task.

        Args:
            tasks: A batch of tasks.
            episodes: Episodes of a trial, at most `most_episodes`.
            trials: Trials of each task that a simulated reference averages over.
            rng: The only source of randomness.

        Raises:
            FamilyError: The family's function returned another shape, or values that are not finite.
        """
        found = np.asarray(self.returns(tasks, episodes, trials, rng), float)
        expected = (len(next(iter(tasks.values()))), episodes)
        if found.shape != expected:
            raise FamilyError(f"reference '{self.summary}': returns of shape {found.shape}; expected {expected}")
        if not np.isfinite(found).all():
            raise FamilyError(f"reference '{self.summary}': returns that are not finite; expected numbers")
        return found

"""What metarl can train on. Imports no torch, so that a command line is checked before anything heavy is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from metarl.config import RunConfig, TrainConfig
from metarl.known_algorithms import ALGORITHMS, Algorithm, find_algorithm


class Domain(NamedTuple):
    """A kind of task: the methods on offer for it, and what its measurements are called."""

    name: str
    command: str
    """The command line that trains and resumes its runs."""
    algorithms: Mapping[str, Algorithm]
    base: type[RunConfig]
    """What the configurations of its algorithms extend."""
    workload: str
    """Module whose function `workload(config)` opens a `metarl.workload.Workload`."""
    measure: str
    """What a task is scored by, higher being better."""
    unit: str
    """What data are counted in."""
    average: Literal["iqm", "mean"]
    """The average over tasks that intervals are given of."""

    def find(self, name: str) -> Algorithm:
        """One of the algorithms, or one of the user's own; raises ConfigError for neither."""
        return find_algorithm(name, self.algorithms, self.base)


REINFORCEMENT_LEARNING = Domain(
    name="reinforcement-learning",
    command="metarl",
    algorithms=ALGORITHMS,
    base=TrainConfig,
    workload="metarl.workload",
    measure="return",
    unit="environment_steps",
    average="iqm",
)

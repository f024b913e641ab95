"""The contract between a training and its tasks: problem, model and adapter."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from gymnasium import spaces

from metarl.adaptation.adapter import Adapter
from metarl.adaptation.problem import Problem
from metarl.config.run import RunConfig
from metarl.core.params import Params
from metarl.core.prng import Key
from metarl.families.splits import Splits
from metarl.families.tasks import Tasks


class Model(Protocol):
    """Protocol of a model with parameters to learn: a policy or a network."""

    def initialise(self, key: Key) -> Params:
        """Untrained parameters, float64."""
        ...


class ClosableProblem(Problem, Protocol):
    """A problem that holds resources until it is closed."""

    def close(self) -> None:
        """Release the resources."""
        ...


class Setup(Protocol):
    """Protocol of the parts that a configuration describes: tasks, problem, model and adapter."""

    name: str
    variant: str | None
    model: Model
    splits: Splits
    task_space: spaces.Dict
    adapts_to_measured: bool
    """Whether the data that an evaluation measures at a point is the data of the next adaptation step."""

    def sample_tasks(self, n: int, split: str, rng: np.random.Generator) -> Tasks:
        """Draw n tasks of a split."""
        ...

    def problem(self, *, training: bool) -> Any:
        """The `ClosableProblem` of meta-training, or that of evaluation."""
        ...

    def adapter(self, lr: float | None = None, later_lr: float | None = None) -> Adapter:
        """The adapter, with the learning rates of training unless others are given."""
        ...

    def at_test(self, theta: Params, key: Key) -> Params:
        """The initialisation for held-out tasks."""
        ...

    def largest_tensor(self) -> int:
        """Elements of the largest tensor of a training iteration, from which the number of threads is chosen."""
        ...

    def facts(self) -> dict[str, Any]:
        """Entries about the tasks in a checkpoint's manifest."""
        ...

    def budget(self, steps: int) -> dict[str, Any]:
        """Entries about the data budget of `steps` adaptation steps in the result of an evaluation."""
        ...

    def protocol(self) -> Mapping[str, Any]:
        """Entries about the experimental protocol in the result of an evaluation."""
        ...

    def close(self) -> None:
        """Release resources."""
        ...


def open_setup(module: str, config: RunConfig) -> Setup:
    """Build the setup of a configuration.

    Args:
        module: Name of a module with a function `setup(config)`.
        config: The configuration.
    """
    return importlib.import_module(module).setup(config)  # type: ignore[no-any-return]

"""The contract between a training and its tasks: the problem they pose, the model that learns, how it adapts."""

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
    """Whatever has parameters to learn: a policy or a network."""

    def initialise(self, key: Key) -> Params:
        """Untrained parameters, float64."""
        ...


class ClosableProblem(Problem, Protocol):
    """A problem that holds resources until it is closed."""

    def close(self) -> None:
        """Release them."""
        ...


class Setup(Protocol):
    """The tasks of a configuration, the problem that they pose, the model that learns, and how it adapts."""

    name: str
    variant: str | None
    model: Model
    splits: Splits
    task_space: spaces.Dict

    def sample_tasks(self, n: int, split: str, rng: np.random.Generator) -> Tasks:
        """n tasks of a split."""
        ...

    def problem(self, *, training: bool) -> Any:
        """The `ClosableProblem` of meta-training, or the one that adaptation is measured on."""
        ...

    def adapter(self, lr: float | None = None, later_lr: float | None = None) -> Adapter:
        """How the model adapts to a task, at other rates than those of training where they are given."""
        ...

    def at_test(self, theta: Params, key: Key) -> Params:
        """The initialisation that held-out tasks adapt from."""
        ...

    def facts(self) -> dict[str, Any]:
        """Entries of a checkpoint's manifest about the tasks."""
        ...

    def budget(self, steps: int) -> dict[str, Any]:
        """Entries of a result about the data that `steps` steps of adaptation are granted."""
        ...

    def protocol(self) -> Mapping[str, Any]:
        """Entries of a result that a reader must know to compare it with others."""
        ...

    def close(self) -> None:
        """Release what the setup holds."""
        ...


def open_setup(module: str, config: RunConfig) -> Setup:
    """The setup of a configuration, by the function `setup` of a module that the algorithm or its kind names."""
    return importlib.import_module(module).setup(config)  # type: ignore[no-any-return]

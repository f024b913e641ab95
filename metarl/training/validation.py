"""The score of a checkpoint: performance after adaptation to meta-validation tasks."""

from __future__ import annotations

import warnings
from typing import Any

import torch

from metarl.adaptation.curve import adaptation_curve
from metarl.adaptation.setup import ClosableProblem
from metarl.core.errors import ConfigError, Divergence, EnvironmentFault
from metarl.core.numbers import finite_list
from metarl.core.ordered_sums import parts_of
from metarl.core.params import Params
from metarl.core.prng import Key
from metarl.core.ranks import ALONE, all_reduce_max, current, sync_errors, use_ranks
from metarl.training.assembly import Assembly


class Validation:
    """Meta-validation tasks and their environments, which are built at the first measurement.

    Args:
        parts: The parts of the configuration.

    Raises:
        ConfigError: Early stopping is configured, and the tasks have no meta-validation split.
    """

    def __init__(self, parts: Assembly) -> None:
        self._parts, config, setup = parts, parts.config, parts.setup
        self._problem: ClosableProblem | None = None
        self.possible = config.validation_tasks > 0 and "meta-validation" in setup.splits.names
        """Whether there are tasks to measure on."""
        patience = config.early_stop.patience
        if patience and not self.possible:
            raise ConfigError(f"--early-stop.patience = {patience}; expected 0: {setup.name} has no meta-validation")

    def measure(self, theta: Params, iteration: int) -> dict[str, Any] | None:
        """Mean performance at steps 0..K; the last is the score. It is a function of theta, seed and iteration alone.

        Args:
            theta: The initialisation.
            iteration: Number of completed iterations, whose inner learning rate is used.

        Returns:
            The entry `meta_validation` of a manifest; None if there are no tasks or nothing could be measured.
        """
        parts, config, setup = self._parts, self._parts.config, self._parts.setup
        if not self.possible:
            return None
        key = Key.from_seed(config.seed).at("meta-validation")
        tasks = setup.sample_tasks(config.validation_tasks, "meta-validation", key.at("tasks").generator())
        if self._problem is None:
            self._problem = setup.problem(training=False)
        theta, steps, adapter = setup.at_test(theta, key), config.inner.steps, parts.adapter_at(iteration)
        try:
            with sync_errors(), use_ranks(ALONE):
                curves = [
                    adaptation_curve(self._problem, theta, tasks, key, adapter, steps, part=part)
                    for part in parts_of(config.validation_tasks, config.ordered_sums)
                ]
        except (Divergence, EnvironmentFault) as error:
            self._problem.close()  # failed workers cannot be used again
            warnings.warn(f"iteration {iteration}: the checkpoint has no score: {error}", stacklevel=2)
            return None
        means = finite_list(current().gather(torch.cat([curve.per_task for curve in curves])).mean(0))
        found = {"score": means[-1], parts.kind.measure: means, "tasks": config.validation_tasks}
        if all_reduce_max(int(any(curve.successes is not None for curve in curves)))[0]:
            rates = [curve.successes if curve.successes is not None else 0 * curve.per_task for curve in curves]
            found["success"] = finite_list(current().gather(torch.cat(rates)).mean(0))
        return None if means[-1] is None else found

    def close(self) -> None:
        """Close the environments."""
        if self._problem is not None:
            self._problem.close()

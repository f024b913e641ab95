"""Assembly of all parts of a configuration, once per command: setup, adapter, device, theta."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

import torch

from metarl.adaptation.adapter import Adapter
from metarl.adaptation.parameters import as_trained, initial_theta
from metarl.adaptation.setup import Setup, open_setup
from metarl.config.registry import REINFORCEMENT_LEARNING, Algorithm, ProblemKind
from metarl.config.run import RunConfig, at_iteration
from metarl.config.validation import validate
from metarl.core.errors import ConfigError
from metarl.core.machine import DTYPES, check_device, keep_freed_memory
from metarl.core.params import Params
from metarl.core.ranks import current
from metarl.rl.setup import check_spaces


@dataclass(frozen=True)
class Assembly:
    """Parts of a training or an evaluation; a context manager that closes them."""

    kind: ProblemKind
    algorithm: str
    found: Algorithm
    config: RunConfig
    setup: Setup
    adapter: Adapter
    device: torch.device
    dtype: torch.dtype

    def initial_theta(self) -> Params:
        """The untrained initialisation for the configured seed."""
        return initial_theta(self.adapter, self.setup.model, self.config.seed, self.device, self.dtype)

    def as_trained(self, loaded: Params, where: str, manifest: Mapping[str, Any] | None = None) -> Params:
        """Check loaded parameters against the model, as `metarl.adaptation.as_trained` does.

        Args:
            loaded: The parameters.
            where: Start of error messages.
            manifest: Manifest of their checkpoint, whose spaces are compared first.

        Raises:
            RunError: The spaces differ from those of training, or the parameters do not fit the model.
        """
        if manifest is not None:
            check_spaces(manifest.get("spaces"), self.setup.facts().get("spaces"), self.setup.name, where)
        return as_trained(self.adapter, self.setup.model, loaded, where)

    def adapter_at(self, iteration: int, later_lr: float | None = None) -> Adapter:
        """The adapter with the inner learning rates of an iteration, by their schedule.

        Args:
            iteration: Number of the iteration, from 1.
            later_lr: Learning rate after the first step, if not that of the iteration.
        """
        now = at_iteration(self.config, iteration)
        if now is self.config:
            return self.adapter
        return self.setup.adapter(now.inner.lr, later_lr or now.inner.later_lr)

    def for_seed(self, seed: int) -> Assembly:
        """The same parts for another seed. They are shared, so only one of the two assemblies is closed."""
        return replace(self, config=replace(self.config, seed=seed))

    def __enter__(self) -> Assembly:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.setup.close()


def assemble(
    algorithm: str,
    config: RunConfig,
    kind: ProblemKind = REINFORCEMENT_LEARNING,
    *,
    inner_lr: float | None = None,
    later_inner_lr: float | None = None,
) -> Assembly:
    """Validate a configuration, check the device, and build all parts.

    Args:
        algorithm: Name of the outer update, or `module:Class`.
        config: Its options.
        kind: The kind of problem.
        inner_lr: Inner learning rate, if not that of training.
        later_inner_lr: Inner learning rate after the first step, if not that of training.

    Raises:
        ConfigError: A value or a combination of values is invalid, or the device does not exist.
        FamilyError: The family cannot be loaded.

    Example:
        >>> from metarl.config import MamlTrpoConfig
        >>> with assemble("maml-trpo", MamlTrpoConfig(family="navigation2d")) as parts:
        ...     parts.setup.name, parts.adapter.facts()["inner_lr"]
        ('navigation2d', 0.1)
    """
    found = kind.find(algorithm)
    validate(config)
    device = check_device(config.device)
    ranks = current().size
    if config.meta_batch_size < ranks:
        expected = f"at least {ranks}, a task for each process"
        raise ConfigError(f"--meta-batch-size = {config.meta_batch_size}; expected {expected}")
    keep_freed_memory()
    setup = open_setup(found.setup or kind.setup, config)
    adapter = setup.adapter(inner_lr, later_inner_lr)
    return Assembly(kind, algorithm, found, config, setup, adapter, device, DTYPES[config.dtype])

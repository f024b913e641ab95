"""Options of every training, as frozen dataclasses.

Imports no torch, so that a command line is checked before torch is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import reduce
from typing import Any, Literal, Self, TypeVar, get_type_hints

from metarl.config.schedules import ScheduleOptions, changes_until, rate_factor


@dataclass(frozen=True)
class AdaptationConfig(ScheduleOptions):
    """Options of the inner loop."""

    estimator = "exact"
    """Fixed for supervised tasks, whose gradient is exact; RL overrides it (InnerConfig.estimator)."""
    lr: float = 0.1
    """Inner learning rate."""
    later_lr: float | None = None
    """Inner learning rate after the first step; equal to lr by default."""
    steps: int = 1
    """Adaptation steps in training; evaluation has an option of its own."""
    first_order: bool = False
    """Drop the derivative of the inner gradient (first-order MAML)."""
    optimiser: str = "sgd"
    """sgd (gradient descent), adam (without a first moment), or a gradient adapter of your own as module:attribute."""
    adapt: str = "all"
    """Parameters that adapt: all, head (ANIL), context (CAVIA), or a pattern of names such as hidden.0.*."""
    learned_lr: Literal["none", "per-layer", "per-parameter"] = "none"
    """Learn the inner learning rates with theta (Meta-SGD), one per parameter tensor or per element."""
    checkpointing: bool = False
    """Compute inner steps again in the backward pass: memory for one step at a time, for more time."""


@dataclass(frozen=True)
class InnerConfig(AdaptationConfig):
    """Options of a policy's inner loop."""

    estimator: Literal["low-variance", "naive", "dice", "e-maml"] = "low-variance"
    """Surrogate of the inner loss, which determines the estimator of the meta-gradient; see docs/mathematics.md."""


@dataclass(frozen=True)
class NetworkConfig:
    """Options of a multi-layer perceptron."""

    hidden_sizes: tuple[int, ...] = (64, 64)
    """Units of each hidden layer."""
    activation: Literal["tanh", "relu"] = "tanh"
    """Activation after each hidden layer."""
    context: int = 0
    """Number of context parameters, appended to the input of the first layer (CAVIA)."""


@dataclass(frozen=True)
class PolicyConfig(NetworkConfig):
    """Options of the policy: a network, and the distribution over actions that its outputs are the parameters of."""

    network: str | None = None
    """Network: mlp, cnn (the default for images), or your torch module as module:factory or path/to/file.py:factory."""

    initial_log_std: float = 0.0
    """Initial log standard deviation of normal actions."""
    min_log_std: float = -13.8
    """Lower bound of the log standard deviation."""
    max_log_std: float = 4.0
    """Bound above which parameters count as diverged: training stops, and evaluation drops the task."""
    normalise_observations: bool = False
    """Centre and scale observations by their mean and variance over all earlier iterations of meta-training."""


@dataclass(frozen=True)
class EarlyStopConfig:
    """Options of early stopping by the scores of checkpoints on meta-validation tasks."""

    patience: int = 0
    """Stop after this many scored checkpoints in a row without a better score; 0 trains to the last iteration."""
    min_improvement: float = 0.0
    """Least difference to the best earlier score that counts as better."""
    min_iterations: int = 0
    """Iterations before which training never stops early."""


@dataclass(frozen=True)
class RunConfig:
    """Options of every meta-training, for any kind of task."""

    seed: int = 1
    """Seed of all random numbers."""
    iterations: int = 100
    """Meta-iterations in total."""
    meta_batch_size: int = 20
    """Tasks in each meta-iteration."""
    device: str = "cpu"
    """Torch device."""
    dtype: Literal["float32", "float64"] = "float32"
    """Floating-point type of parameters and data."""
    checkpoint_every: int = 25
    """Iterations between checkpoints; the last iteration always has one."""
    keep_checkpoints: int = 0
    """Newest checkpoints to keep, in addition to the best on meta-validation tasks; 0 keeps all."""
    validation_tasks: int = 20
    """Meta-validation tasks that score each checkpoint; 0 disables the score."""
    ordered_sums: bool = False
    """Compute each task alone and add results in task order: bitwise equal for any number of processes, but slower."""
    rank_timeout: float = 300.0
    """Seconds after which one of several processes of torchrun counts as lost."""
    early_stop: EarlyStopConfig = field(default_factory=EarlyStopConfig)
    inner: AdaptationConfig = field(default_factory=AdaptationConfig)
    initialise_from = None
    """Fixed for supervised tasks; RL overrides it (TrainConfig.initialise_from)."""

    def task_name(self) -> tuple[str, str | None]:
        """Name and variant of the tasks; runs are comparable only if both are equal."""
        raise NotImplementedError

    def learner(self) -> str | None:
        """Name of another library's learner that adapts; None for metarl's own inner loop."""
        return None

    def has_rate(self) -> bool:
        """Whether adaptation has a learning rate that can be chosen at test time."""
        return self.inner.learned_lr == "none"

    def untrained(self) -> RunConfig:
        """The configuration that the untrained initialisation is evaluated with."""
        return self

    def unused(self) -> tuple[str, ...]:
        """Names of options that have no effect on this method; a value other than the default is refused."""
        return ()

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield (option, expectation) for each option whose value conflicts with other options."""
        yield from ()


@dataclass(frozen=True)
class TrainConfig(RunConfig):
    """Options of every outer update of `metarl train`."""

    family: str = "navigation2d"
    """Task family: a registered name, module:attribute, or path/to/module.py:attribute."""
    variant: str | None = None
    """Variant of the family; its default if none is given."""
    initialise_from: str | None = None  # type: ignore[assignment]
    """Start from a policy: a run directory, a file of metarl adapt --out, or a model.zip of Stable-Baselines3."""
    observe_task: bool = False
    """Append the task to the observation: the oracle baseline."""
    episodes: int = 20
    """Episodes of each task in each adaptation step."""
    samples_per_step: int | None = None
    """Transitions of each task in each step, collected in whole episodes; an explicit --episodes replaces it."""
    gamma: float = 0.99
    """Discount factor."""
    gae_lambda: float = 1.0
    """Lambda of generalised advantage estimation."""
    workers: int = 0
    """Processes that step ordinary Gymnasium environments; 0 steps them in this process. Results are equal."""
    worker_timeout: float = 60.0
    """Seconds after which a worker that does not answer counts as hung."""
    worker_retries: int = 2
    """Times that episodes are collected again, with new workers, after a worker raised, died or hung."""
    inner: InnerConfig = field(default_factory=InnerConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)

    def task_name(self) -> tuple[str, str | None]:
        """Family and variant."""
        return self.family, self.variant

    def measured(self, episodes: int, samples_per_step: int | None = None) -> Self:
        """The configuration that a run is evaluated with.

        Args:
            episodes: Episodes of each task at each point of the adaptation curve.
            samples_per_step: Transitions in their place.
        """
        return replace(self, episodes=episodes, samples_per_step=samples_per_step)

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Conflicts between options of the policy and of the inner loop."""
        low, high = self.policy.min_log_std, self.policy.max_log_std
        if not low <= self.policy.initial_log_std <= high:
            yield "policy.initial_log_std", f"a number from {low:g} to {high:g}, the bounds of the policy"
        yield from context_misfits(self.inner, self.policy, "policy")
        if self.policy.context and self.policy.network not in (None, "mlp"):
            yield "policy.context", f"0: only mlp has context parameters, and the network is {self.policy.network}"


def has_schedule(config: RunConfig) -> bool:
    """Whether the outer or inner learning rate has a schedule that ends at the configured number of iterations."""
    adam = getattr(config, "adam", None)
    outer = adam is not None and getattr(config, "outer", "adam") != "trpo" and changes_until(adam, config.iterations)
    return outer or changes_until(config.inner, config.iterations)


Config = TypeVar("Config", bound=RunConfig)


def at_iteration(config: Config, iteration: int) -> Config:
    """The configuration with the inner learning rates of an iteration, and no schedule of them.

    A model is evaluated at the rates with which the last iteration before its checkpoint adapted.

    Args:
        config: The configuration of a run.
        iteration: Number of the iteration, from 1.

    Example:
        >>> config = TrainConfig(iterations=2, inner=InnerConfig(lr=0.4, schedule="linear"))
        >>> [at_iteration(config, number).inner.lr for number in (1, 2)]
        [0.4, 0.2]
    """
    inner = config.inner
    if inner.schedule == "constant" and inner.warm_up == 0:
        return config
    factor = rate_factor(inner, iteration - 1, config.iterations)
    later = None if inner.later_lr is None else factor * inner.later_lr
    rates = replace(inner, lr=factor * inner.lr, later_lr=later, schedule="constant", warm_up=0)
    return replace(config, inner=rates)


def fields_of(config_type: type, prefix: str = "") -> dict[str, Any]:
    """Dotted name and annotation of every option, in order of definition.

    Args:
        config_type: A dataclass; the fields of nested dataclasses are included.
        prefix: Prefix of all names.

    Example:
        >>> list(fields_of(NetworkConfig))
        ['hidden_sizes', 'activation', 'context']
    """
    hints = get_type_hints(config_type)
    names: dict[str, Any] = {}
    for entry in fields(config_type):
        annotation = hints[entry.name]
        if is_dataclass(annotation):
            names |= fields_of(annotation, f"{prefix}{entry.name}.")  # type: ignore[arg-type]
        else:
            names[prefix + entry.name] = annotation
    return names


def value_of(config: Any, key: str) -> Any:
    """The value of a dotted key.

    Example:
        >>> value_of(TrainConfig(), "inner.steps")
        1
    """
    return reduce(getattr, key.split("."), config)


def option_name(key: str) -> str:
    """The command-line name of a dotted key.

    Example:
        >>> option_name("inner.later_lr")
        '--inner.later-lr'
    """
    return "--" + key.replace("_", "-")


def context_misfits(inner: AdaptationConfig, network: NetworkConfig, name: str) -> Iterator[tuple[str, str]]:
    """Yield conflicts between `inner.adapt` and the network's number of context parameters.

    Args:
        inner: Options of the inner loop.
        network: Options of the network.
        name: Name of the network's option, such as "policy".
    """
    if inner.adapt == "context" and network.context == 0:
        yield "inner.adapt", f"a {name} with context parameters: add --{name}.context 2, for instance"
    if inner.adapt != "context" and network.context > 0:
        yield f"{name}.context", "0, or --inner.adapt context: context parameters are what adapts, and nothing else"

"""Options of every training, as typed configurations.

Imports no torch, so a command line is checked before anything heavy is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal, get_type_hints


@dataclass(frozen=True)
class AdaptationConfig:
    """The inner loop: how parameters adapt to one task."""

    estimator = "exact"
    """Not an option here: only where the loss is sampled is there a choice of what estimates its gradient."""
    lr: float = 0.1
    """Inner learning rate."""
    later_lr: float | None = None
    """Inner learning rate after the first step; the same as lr by default."""
    steps: int = 1
    """Adaptation steps in training; evaluation takes as many as it likes."""
    first_order: bool = False
    """Drop the derivative of the inner gradient (first-order MAML)."""
    optimiser: str = "sgd"
    """sgd (gradient descent), adam (without a first moment), or an inner rule of your own as module:attribute."""
    adapt: str = "all"
    """What adapts: all, head (ANIL), context (CAVIA), or a pattern of parameter names such as hidden.0.*."""
    learned_lr: Literal["none", "per-layer", "per-parameter"] = "none"
    """Learn the inner rates with theta (Meta-SGD), one for each parameter tensor or for each element."""


@dataclass(frozen=True)
class InnerConfig(AdaptationConfig):
    """The inner loop of a policy."""

    estimator: Literal["low-variance", "naive", "dice", "e-maml"] = "low-variance"
    """Surrogate of the inner loss, which decides what the meta-gradient estimates; see docs/mathematics.md."""


@dataclass(frozen=True)
class NetworkConfig:
    """A multi-layer perceptron."""

    hidden_sizes: tuple[int, ...] = (64, 64)
    """Units of each hidden layer."""
    activation: Literal["tanh", "relu"] = "tanh"
    """Activation after each hidden layer."""
    context: int = 0
    """Context parameters, read by the first layer beside its input (CAVIA)."""


@dataclass(frozen=True)
class PolicyConfig(NetworkConfig):
    """The policy: a multi-layer perceptron; normal or categorical as the action space asks."""

    initial_log_std: float = 0.0
    """Initial log standard deviation of normal actions."""
    min_log_std: float = -13.8
    """Lower bound of the log standard deviation."""
    max_log_std: float = 4.0
    """Above it the parameters count as diverged: training stops, an evaluation gives up the task."""
    normalise_observations: bool = False
    """Centre and scale observations by their mean and variance over meta-training, up to the iteration before."""


@dataclass(frozen=True)
class RunConfig:
    """Options of every meta-training, whatever its tasks are."""

    seed: int = 1
    """Governs everything that is random."""
    iterations: int = 100
    """Meta-iterations in total."""
    meta_batch_size: int = 20
    """Tasks in each meta-iteration."""
    device: str = "cpu"
    """Torch device."""
    dtype: Literal["float32", "float64"] = "float32"
    """Floating-point type of parameters and data."""
    checkpoint_every: int = 25
    """Iterations between checkpoints; one is always written at the end."""
    keep_checkpoints: int = 0
    """Newest checkpoints to keep, beside the best on meta-validation tasks; 0 keeps all."""
    validation_tasks: int = 20
    """Meta-validation tasks that score each checkpoint; 0 turns it off."""
    ordered_sums: bool = False
    """Compute each task alone and add tasks in their order: bitwise the same for any number of processes; slower."""
    rank_timeout: float = 300.0
    """Seconds after which a process that others wait for counts as lost, where torchrun started several."""
    inner: AdaptationConfig = field(default_factory=AdaptationConfig)
    initialise_from = None
    """Not an option here: only policies are kept in files that others write."""

    def task_name(self) -> tuple[str, str | None]:
        """The name of what the tasks are about and its variant; only runs about the same can be compared."""
        raise NotImplementedError

    def learner(self) -> str | None:
        """What adapts, where that is not metarl itself: its untrained rows are rows of their own."""
        return None

    def untrained(self) -> RunConfig:
        """The configuration that the untrained initialisation is evaluated with."""
        return self

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Options that cannot be used as they are: the one to change, and what is expected of it and why."""
        yield from ()


@dataclass(frozen=True)
class TrainConfig(RunConfig):
    """Options of every `metarl train`."""

    family: str = "navigation2d"
    """Task family: a registered name, or module:attribute."""
    variant: str | None = None
    """Variant of the family; its default if none is given."""
    initialise_from: str | None = None  # type: ignore[assignment]
    """Start from the policy of a run directory, of metarl adapt --out, or of a model.zip of Stable-Baselines3."""
    observe_task: bool = False
    """Append the task to the observation: the oracle baseline."""
    episodes: int = 20
    """Episodes of each task in each adaptation step."""
    samples_per_step: int | None = None
    """Budget of each task in each step in transitions, met by whole episodes; --episodes given by hand replaces it."""
    gamma: float = 0.99
    """Discount factor."""
    gae_lambda: float = 1.0
    """Lambda of generalised advantage estimation."""
    workers: int = 0
    """Processes that step ordinary Gymnasium environments; 0 steps them in this one. Results are the same."""
    worker_timeout: float = 60.0
    """Seconds after which a worker that does not answer counts as hung."""
    worker_retries: int = 2
    """New attempts at collecting episodes, with new workers, after one raised, died or hung."""
    inner: InnerConfig = field(default_factory=InnerConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)

    def task_name(self) -> tuple[str, str | None]:
        return self.family, self.variant

    def conflicts(self) -> Iterator[tuple[str, str]]:
        low, high = self.policy.min_log_std, self.policy.max_log_std
        if not low <= self.policy.initial_log_std <= high:
            yield "policy.initial_log_std", f"a number from {low:g} to {high:g}, the bounds of the policy"
        yield from context_misfits(self.inner, self.policy, "policy")


def has_schedule(config: RunConfig) -> bool:
    """Whether the outer rate follows a schedule that ends with the configured iterations."""
    adam = getattr(config, "adam", None)
    return adam is not None and adam.decay == "linear" and getattr(config, "outer", "adam") != "trpo"


def fields_of(config_type: type, prefix: str = "") -> dict[str, Any]:
    """Every option's dotted name and annotation, in order; nested configurations are opened."""
    hints = get_type_hints(config_type)
    names: dict[str, Any] = {}
    for entry in fields(config_type):
        annotation = hints[entry.name]
        if is_dataclass(annotation):
            names |= fields_of(annotation, f"{prefix}{entry.name}.")  # type: ignore[arg-type]
        else:
            names[prefix + entry.name] = annotation
    return names


def option_name(key: str) -> str:
    """The command-line name of a dotted key."""
    return "--" + key.replace("_", "-")


def context_misfits(inner: AdaptationConfig, network: NetworkConfig, name: str) -> Iterator[tuple[str, str]]:
    """Context parameters without adaptation of them, or the other way round; `name` is the network's option."""
    if inner.adapt == "context" and network.context == 0:
        yield "inner.adapt", f"a {name} with context parameters: add --{name}.context 2, for instance"
    if inner.adapt != "context" and network.context > 0:
        yield f"{name}.context", "0, or --inner.adapt context: context parameters are what adapts, and nothing else"

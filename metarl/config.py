"""Typed configurations. Imports no torch, so that a command line is checked before anything heavy is loaded."""

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
class TrustRegionConfig:
    """TRPO's step."""

    max_kl: float = 0.01
    """Largest mean KL between the adapted policies before and after the outer update."""
    cg_iterations: int = 10
    """Conjugate-gradient iterations."""
    damping: float = 1e-5
    """Added to the curvature's diagonal."""
    max_backtracks: int = 15
    """Steps of the line search."""
    backtrack_ratio: float = 0.8
    """Factor from one step of the line search to the next."""
    curvature_stride: int = 10
    """Every n-th transition enters the curvature, but at least 200 of a task; the line search sees all of them."""


@dataclass(frozen=True)
class AdamConfig:
    """Adam as the outer optimiser."""

    lr: float = 3e-3
    """Outer learning rate."""
    decay: Literal["linear", "none"] = "linear"
    """Schedule of the outer rate over all iterations: linear to zero, or constant."""
    beta1: float = 0.9
    """Decay of the first moment."""
    beta2: float = 0.999
    """Decay of the second moment."""


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

    def about(self) -> tuple[str, str | None]:
        """The name of what the tasks are about and its variant; only runs about the same can be compared."""
        raise NotImplementedError

    def learner(self) -> str | None:
        """What adapts, where that is not metarl itself: its untrained rows are rows of their own."""
        return None

    def senseless(self) -> Iterator[tuple[str, str]]:
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

    def about(self) -> tuple[str, str | None]:
        return self.family, self.variant

    def senseless(self) -> Iterator[tuple[str, str]]:
        if self.inner.estimator == "e-maml" and not isinstance(self, MamlOptions):
            yield "inner.estimator", "another: E-MAML's score term has a gradient but no value, so only maml can use it"
        low, high = self.policy.min_log_std, self.policy.max_log_std
        if not low <= self.policy.initial_log_std <= high:
            yield "policy.initial_log_std", f"a number from {low:g} to {high:g}, the bounds of the policy"
        yield from context_misfits(self.inner, self.policy, "policy")


@dataclass(frozen=True)
class MamlTrpoConfig(TrainConfig):
    """MAML, outer update by TRPO (Finn et al. 2017)."""

    trust_region: TrustRegionConfig = field(default_factory=TrustRegionConfig)


@dataclass(frozen=True)
class MamlOptions:
    """What MAML's outer update by Adam reads of a configuration."""

    adam: AdamConfig = field(default_factory=AdamConfig)


@dataclass(frozen=True)
class MamlConfig(MamlOptions, TrainConfig):
    """MAML, outer update by Adam (Finn et al. 2017)."""


@dataclass(frozen=True)
class PrompConfig(TrainConfig):
    """ProMP: clipped outer updates with a penalty on the inner KL (Rothfuss et al. 2019)."""

    adam: AdamConfig = field(default_factory=lambda: AdamConfig(lr=1e-3, decay="none"))
    epochs: int = 5
    """Adam steps on each meta-batch."""
    clip: float = 0.3
    """Range of the likelihood ratio."""
    inner_kl_penalty: float = 5e-4
    """Weight of the KL of the policies before and during adaptation."""


@dataclass(frozen=True)
class ReptileOptions:
    """What Reptile's outer update reads of a configuration."""

    outer: Literal["adam", "plain"] = "adam"
    """Adam on the difference of parameters, or the plain step."""
    step_size: float = 1.0
    """The plain step's size, decayed as adam.decay says."""
    adam: AdamConfig = field(default_factory=AdamConfig)


@dataclass(frozen=True)
class ReptileConfig(ReptileOptions, TrainConfig):
    """Reptile (Nichol et al. 2018)."""

    inner: InnerConfig = field(default_factory=lambda: InnerConfig(steps=3))


@dataclass(frozen=True)
class PretrainOptions:
    """What joint training's outer update reads of a configuration, where the optimiser is no option."""

    outer = "adam"
    adam: AdamConfig = field(default_factory=AdamConfig)


@dataclass(frozen=True)
class PretrainConfig(PretrainOptions, TrainConfig):
    """Joint training over all tasks, the baseline without meta-learning."""

    outer: Literal["adam", "trpo"] = "adam"
    """Optimiser of the joint loss."""
    trust_region: TrustRegionConfig = field(default_factory=TrustRegionConfig)


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

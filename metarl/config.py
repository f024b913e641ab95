"""Typed configurations. Imports no torch, so that a command line is checked before anything heavy is loaded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class InnerConfig:
    """The inner loop: how parameters adapt to one task."""

    lr: float = 0.1
    """Inner learning rate."""
    later_lr: float | None = None
    """Inner learning rate after the first step; the same as lr by default."""
    steps: int = 1
    """Adaptation steps in training; evaluation takes as many as it likes."""
    first_order: bool = False
    """Drop the derivative of the inner gradient (first-order MAML)."""
    estimator: Literal["low-variance", "naive"] = "low-variance"
    """Surrogate of the inner loss, which decides what the meta-gradient estimates."""
    baseline: Literal["batch", "previous"] = "batch"
    """Linear baseline fitted to the batch it serves, or to the previous step's (none before the first)."""


@dataclass(frozen=True)
class PolicyConfig:
    """The policy: a multi-layer perceptron; normal or categorical as the action space asks."""

    hidden_sizes: tuple[int, ...] = (64, 64)
    """Units of each hidden layer."""
    activation: Literal["tanh", "relu"] = "tanh"
    """Activation after each hidden layer."""
    initial_log_std: float = 0.0
    """Initial log standard deviation of normal actions."""
    min_log_std: float = -13.8
    """Lower bound of the log standard deviation."""


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
    curvature_stride: int = 5
    """Every n-th time step enters the curvature; the line search sees all of them."""


@dataclass(frozen=True)
class TrainConfig:
    """Options of every `metarl train`."""

    family: str = "navigation2d"
    """Task family: a registered name, or module:attribute."""
    variant: str | None = None
    """Variant of the family; its default if none is given."""
    observe_task: bool = False
    """Append the task to the observation: the oracle baseline."""
    seed: int = 1
    """Governs everything that is random."""
    iterations: int = 100
    """Meta-iterations in total."""
    meta_batch_size: int = 20
    """Tasks in each meta-iteration."""
    episodes: int = 20
    """Episodes of each task in each adaptation step."""
    samples_per_step: int | None = None
    """Budget of each task in each adaptation step in transitions, met by whole episodes."""
    gamma: float = 0.99
    """Discount factor."""
    gae_lambda: float = 1.0
    """Lambda of generalised advantage estimation."""
    device: str = "cpu"
    """Torch device."""
    dtype: Literal["float32", "float64"] = "float32"
    """Floating-point type of parameters and episodes."""
    checkpoint_every: int = 25
    """Iterations between checkpoints; one is always written at the end."""
    validation_tasks: int = 20
    """Meta-validation tasks that score each checkpoint; 0 turns it off."""
    inner: InnerConfig = field(default_factory=InnerConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)


@dataclass(frozen=True)
class MamlTrpoConfig(TrainConfig):
    """MAML, outer update by TRPO (Finn et al. 2017)."""

    trust_region: TrustRegionConfig = field(default_factory=TrustRegionConfig)

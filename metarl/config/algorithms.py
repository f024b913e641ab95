"""Options of the outer updates. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from metarl.config.run import InnerConfig, TrainConfig
from metarl.config.schedules import ScheduleName, ScheduleOptions


@dataclass(frozen=True)
class TrustRegionConfig:
    """Options of TRPO's step (Schulman et al. 2015)."""

    max_kl: float = 0.01
    """Largest mean KL between the adapted policies before and after the outer update."""
    cg_iterations: int = 10
    """Conjugate-gradient iterations."""
    damping: float = 1e-5
    """Damping added to the diagonal of the curvature."""
    max_backtracks: int = 15
    """Maximum number of line-search steps."""
    backtrack_ratio: float = 0.8
    """Factor between consecutive line-search steps."""
    curvature_stride: int = 4
    """Estimate the curvature from every n-th task, at least five of the meta-batch; the line search uses all."""


@dataclass(frozen=True)
class AdamConfig(ScheduleOptions):
    """Options of Adam as the outer optimiser."""

    lr: float = 3e-3
    """Outer learning rate."""
    schedule: ScheduleName = "linear"
    """Outer learning rate over all iterations: constant, linear, cosine, exponential, or step (equal drops)."""
    beta1: float = 0.9
    """Decay of the first moment."""
    beta2: float = 0.999
    """Decay of the second moment."""


@dataclass(frozen=True)
class MamlTrpoConfig(TrainConfig):
    """MAML, outer update by TRPO (Finn et al. 2017)."""

    trust_region: TrustRegionConfig = field(default_factory=TrustRegionConfig)


@dataclass(frozen=True)
class MamlOptions:
    """Options of MAML's outer update by Adam, for any kind of task."""

    adam: AdamConfig = field(default_factory=AdamConfig)


@dataclass(frozen=True)
class MamlConfig(MamlOptions, TrainConfig):
    """MAML, outer update by Adam (Finn et al. 2017)."""


@dataclass(frozen=True)
class PrompConfig(TrainConfig):
    """ProMP: clipped outer updates with a penalty on the inner KL (Rothfuss et al. 2019)."""

    adam: AdamConfig = field(default_factory=lambda: AdamConfig(lr=1e-3, schedule="constant"))
    epochs: int = 5
    """Adam steps on each meta-batch."""
    clip: float = 0.3
    """Clip range of the likelihood ratio."""
    inner_kl_penalty: float = 5e-4
    """Weight of the KL between the policies that collected the support data and their updates."""


@dataclass(frozen=True)
class ReptileOptions:
    """Options of Reptile's outer update, for any kind of task."""

    outer: Literal["adam", "plain"] = "adam"
    """Adam on the difference of parameters, or the plain step."""
    step_size: float = 1.0
    """Size of the plain step; adam.schedule applies to it."""
    adam: AdamConfig = field(default_factory=AdamConfig)


@dataclass(frozen=True)
class ReptileConfig(ReptileOptions, TrainConfig):
    """Reptile (Nichol et al. 2018)."""

    inner: InnerConfig = field(default_factory=lambda: InnerConfig(steps=3))


@dataclass(frozen=True)
class PretrainOptions:
    """Options of joint training's outer update, for any kind of task; the optimiser is fixed."""

    outer = "adam"
    adam: AdamConfig = field(default_factory=AdamConfig)


@dataclass(frozen=True)
class PretrainConfig(PretrainOptions, TrainConfig):
    """Joint training over all tasks: the baseline without meta-learning."""

    outer: Literal["adam", "trpo"] = "adam"
    """Optimiser of the joint loss."""
    trust_region: TrustRegionConfig = field(default_factory=TrustRegionConfig)

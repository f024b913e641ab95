"""Options of each outer update. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from metarl.config.run import InnerConfig, TrainConfig


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

"""Task suites with their budgets, and methods as configurations that use up those budgets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from metarl.config.algorithms import (
    AdamConfig,
    MamlConfig,
    MamlTrpoConfig,
    PretrainConfig,
    PrompConfig,
    ReptileConfig,
    TrustRegionConfig,
)
from metarl.config.run import InnerConfig, PolicyConfig, TrainConfig
from metarl.families.registry import load_family


@dataclass(frozen=True)
class Suite:
    """A family and the options that all methods share on it."""

    family: str
    budget: int
    """Environment steps of each training run."""
    inner_lr: float
    """Start of the search for the inner rate of training."""
    policy: PolicyConfig
    variant: str | None = None
    halve_later: bool = False
    """Adaptation steps after the first take half the rate, as published for 2-D navigation."""
    tunes_inner_lr: bool = True
    """Search for the inner rate of training; the published protocol of 2-D navigation fixes it."""
    tasks: int = 20
    """Tasks of each iteration."""
    episodes: int = 20
    samples_per_step: int | None = None
    tuning_seeds: tuple[int, ...] = (1000, 1001, 1002)
    """The search uses the first; its best trials are repeated with the others. No seed of a table is among them."""
    estimators: bool = False
    """Add a row for each estimator of the meta-gradient."""
    published: dict[str, list[float]] = field(default_factory=dict)

    @property
    def transitions(self) -> int:
        """Environment steps of one collection of data for a meta-batch."""
        horizon = load_family(self.family, self.variant).horizon
        return self.tasks * (self.samples_per_step or self.episodes * horizon)


RELU = PolicyConfig(hidden_sizes=(64, 64), activation="relu", initial_log_std=-0.5)
TANH = PolicyConfig(hidden_sizes=(64, 64), initial_log_std=-0.5)

SUITES = {
    "navigation2d": Suite(
        "navigation2d", 8_000_000, 0.5, PolicyConfig(hidden_sizes=(100, 100), activation="relu"), variant="finn17",
        halve_later=True, tunes_inner_lr=False, samples_per_step=2000,
        published={
            "MAML-TRPO, published": [-40.41, -11.68, -3.33, -3.23],
            "pretrained, published": [-40.81, -19.73, -11.72, -8.47],
            "random initialisation, published": [-82.66, -57.96, -53.84, -46.81],
            "oracle, published": [-2.29],
        },
    ),
    "coupled-direction": Suite("coupled-direction", 4_000_000, 0.2, RELU, estimators=True),
    "rover-direction": Suite("rover-direction", 4_000_000, 0.1, TANH),
    "tabular-mdp": Suite("tabular-mdp", 2_000_000, 2.0, PolicyConfig((64, 64)), episodes=40, estimators=True),
}  # fmt: skip


@dataclass(frozen=True)
class Method:
    """One row: an algorithm, and its configuration at an outer and an inner rate."""

    algorithm: str
    configuration: Callable[[Suite, float, float], TrainConfig]
    outer_start: float
    inner_factor: float = 1.0
    """The search for the inner rate starts at this multiple of the suite's."""
    learns_rate_at_test_time: bool = False
    """The inner rate of training has no effect: training takes no adaptation step."""


def _shared(suite: Suite, inner_lr: float, collections: int, **inner: Any) -> dict[str, Any]:
    """Options of every method, with as many iterations as the budget allows."""
    return {
        "family": suite.family,
        "variant": suite.variant,
        "iterations": max(1, round(suite.budget / suite.transitions / collections)),
        "meta_batch_size": suite.tasks,
        "episodes": suite.episodes,
        "samples_per_step": suite.samples_per_step,
        "checkpoint_every": 10**9,
        "validation_tasks": 0,
        "inner": InnerConfig(lr=inner_lr, later_lr=inner_lr / 2 if suite.halve_later else None, **inner),
        "policy": suite.policy,
    }


def _maml(context: int = 0, **inner: Any) -> Callable[[Suite, float, float], TrainConfig]:
    def configuration(suite: Suite, outer_lr: float, inner_lr: float) -> TrainConfig:
        config = MamlConfig(**_shared(suite, inner_lr, 2, **inner), adam=AdamConfig(lr=outer_lr))
        return replace(config, policy=replace(suite.policy, context=context))

    return configuration


def _maml_trpo(suite: Suite, max_kl: float, inner_lr: float) -> TrainConfig:
    return MamlTrpoConfig(**_shared(suite, inner_lr, 2), trust_region=TrustRegionConfig(max_kl=max_kl))


def _promp(suite: Suite, outer_lr: float, inner_lr: float) -> TrainConfig:
    return PrompConfig(**_shared(suite, inner_lr, 2), adam=AdamConfig(lr=outer_lr))


def _reptile(suite: Suite, outer_lr: float, inner_lr: float) -> TrainConfig:
    return ReptileConfig(**_shared(suite, inner_lr, 3, steps=3), adam=AdamConfig(lr=outer_lr))


def _plain_reptile(suite: Suite, step_size: float, inner_lr: float) -> TrainConfig:
    return ReptileConfig(**_shared(suite, inner_lr, 3, steps=3), outer="plain", step_size=step_size)


def _pretrain(suite: Suite, outer_lr: float, inner_lr: float) -> TrainConfig:
    return PretrainConfig(**_shared(suite, inner_lr, 1), adam=AdamConfig(lr=outer_lr))


def _pretrain_trpo(suite: Suite, max_kl: float, inner_lr: float) -> TrainConfig:
    return PretrainConfig(**_shared(suite, inner_lr, 1), outer="trpo", trust_region=TrustRegionConfig(max_kl=max_kl))


def _oracle(suite: Suite, outer_lr: float, inner_lr: float) -> TrainConfig:
    return replace(_pretrain(suite, outer_lr, inner_lr), observe_task=True)


CONTEXT = 5

METHODS = {
    "MAML-TRPO": Method("maml-trpo", _maml_trpo, 0.01),
    "ProMP": Method("promp", _promp, 3e-3),
    "MAML": Method("maml", _maml(), 3e-3),
    "first-order MAML": Method("maml", _maml(first_order=True), 3e-3),
    "Reptile": Method("reptile", _reptile, 3e-3),
    "Reptile, plain step": Method("reptile", _plain_reptile, 1.0),
    "ANIL": Method("maml", _maml(adapt="head"), 3e-3),
    "Meta-SGD": Method("maml", _maml(learned_lr="per-parameter"), 3e-3),
    "CAVIA": Method("maml", _maml(CONTEXT, adapt="context"), 3e-3, inner_factor=10.0),
    "joint training": Method("pretrain", _pretrain, 3e-3, learns_rate_at_test_time=True),
    "joint training, TRPO": Method("pretrain", _pretrain_trpo, 0.01, learns_rate_at_test_time=True),
    "oracle": Method("pretrain", _oracle, 3e-3, learns_rate_at_test_time=True),
}

ESTIMATORS = {
    "MAML, naive": Method("maml", _maml(estimator="naive"), 3e-3),
    "MAML, DiCE": Method("maml", _maml(estimator="dice"), 3e-3),
    "E-MAML": Method("maml", _maml(estimator="e-maml"), 3e-3),
}


def methods_on(suite: Suite) -> dict[str, Method]:
    """The rows of a suite's table."""
    return METHODS | (ESTIMATORS if suite.estimators else {})

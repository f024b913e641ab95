"""Options of adaptation by memory. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from metarl.config.algorithms import AdamConfig
from metarl.config.run import InnerConfig, PolicyConfig, TrainConfig, value_of

_UNUSED = (
    "samples_per_step",
    "initialise_from",
    "inner.lr",
    "inner.later_lr",
    "inner.schedule",
    "inner.warm_up",
    "inner.end_factor",
    "inner.drops",
    "inner.first_order",
    "inner.optimiser",
    "inner.adapt",
    "inner.learned_lr",
    "inner.checkpointing",
    "inner.estimator",
    "policy.context",
    "policy.network",
)
"""Options of gradient adaptation; they do not apply to memory."""


@dataclass(frozen=True)
class MemoryPolicyConfig(PolicyConfig):
    """Options of a policy with memory: embeddings, a recurrent layer, and a perceptron with its output as input."""

    hidden_sizes: tuple[int, ...] = (32,)
    """Units of each hidden layer after the memory, of the policy and of the value function."""
    memory: Literal["gru", "lstm"] = "gru"
    """Kind of the recurrent layer."""
    memory_size: int = 64
    """Units of the recurrent layer."""
    observation_embedding: int = 16
    """Units of the layer that reads the observation; 0 passes it on as it is."""
    action_embedding: int = 8
    """Units of the layer that reads the previous action; 0 passes it on as it is."""
    reward_embedding: int = 8
    """Units of the layer that reads the previous reward; 0 passes it on as it is."""
    hypernetwork: bool = False
    """Generate the weights of a policy that reads the observation from the memory (Beck et al. 2023)."""
    latent_size: int = 16
    """Units between memory and generated weights; only with a hypernetwork."""


@dataclass(frozen=True)
class PpoConfig:
    """Options of PPO's update (Schulman et al. 2017)."""

    epochs: int = 2
    """Passes over the trials of an iteration."""
    minibatches: int = 4
    """Adam steps of a pass, each on an equal share of every task's trials; at most --episodes."""
    chunk: int | None = None
    """Length of the pieces of a trial between which no gradient flows; whole trials by default."""
    clip: float = 0.1
    """Clip range of the likelihood ratio, and of the change of a value."""
    value_weight: float = 0.5
    """Weight of the value function's loss."""
    entropy_weight: float = 0.01
    """Weight of the entropy bonus."""
    max_gradient_norm: float = 0.5
    """Norm to which gradients are clipped."""
    normalise_returns: bool = True
    """The value function predicts how far the return is from its running mean at that step of the trial, in running
    standard deviations."""


@dataclass(frozen=True)
class Rl2Config(TrainConfig):
    """RL2: a recurrent policy learns by PPO over whole trials (Duan et al. 2016, Wang et al. 2016).

    A trial has `inner.steps` + 1 episodes of one task; `episodes` is the number of trials of each task.
    """

    episodes: int = 8
    """Trials of each task in each iteration."""
    gae_lambda: float = 0.95
    """Lambda of generalised advantage estimation."""
    inner: InnerConfig = field(default_factory=lambda: InnerConfig(steps=3))
    policy: MemoryPolicyConfig = field(default_factory=MemoryPolicyConfig)
    ppo: PpoConfig = field(default_factory=PpoConfig)
    adam: AdamConfig = field(default_factory=lambda: AdamConfig(lr=7e-4, schedule="linear"))

    def learner(self) -> str:
        """Memory, the same for all kinds of recurrent layers."""
        return "memory"

    def has_rate(self) -> bool:
        """False: memory adapts without a learning rate."""
        return False

    def measured(self, episodes: int, samples_per_step: int | None = None) -> Rl2Config:
        """As for other methods; minibatches are those of training, whatever is measured."""
        minibatches = min(self.ppo.minibatches, max(episodes, 1))
        return replace(super().measured(episodes, samples_per_step), ppo=replace(self.ppo, minibatches=minibatches))

    def unused(self) -> tuple[str, ...]:
        """Options of gradient adaptation."""
        return _UNUSED

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Options of gradient adaptation that were changed, and minibatches that would be empty."""
        yield from super().conflicts()
        default = type(self)()
        for name in self.unused():
            if value_of(self, name) != value_of(default, name):
                yield name, f"{value_of(default, name)}: adaptation by memory has no use for it"
        if self.ppo.minibatches > self.episodes:
            yield "ppo.minibatches", f"at most {self.episodes}, the trials of a task (--episodes)"
        if self.policy.hypernetwork and not self.policy.hidden_sizes:
            yield "policy.hidden_sizes", "at least one layer whose weights are generated"

"""Options of meta-training around Stable-Baselines3. Imports neither torch nor Stable-Baselines3."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from metarl.config.algorithms import ReptileOptions
from metarl.config.run import InnerConfig, TrainConfig, value_of

ON_POLICY = ("PPO", "A2C")

EPSILON = 0.05
"""Share of DQN's actions that are random: where the schedule of Stable-Baselines3 ends."""
TARGET_UPDATES = 10
"""How often DQN's target network is updated in an adaptation step; Stable-Baselines3's interval is 10,000."""
ACTION_NOISE = 0.1
"""Deviation of TD3's exploration noise, of actions scaled to [-1, 1] (Fujimoto et al. 2018, section 6.1)."""

_UNUSED = (
    "ordered_sums",
    "dtype",
    "samples_per_step",
    "workers",
    "inner.later_lr",
    "inner.first_order",
    "inner.optimiser",
    "inner.adapt",
    "inner.learned_lr",
    "inner.checkpointing",
    "inner.estimator",
    "policy.min_log_std",
    "policy.max_log_std",
    "policy.context",
    "policy.network",
    "policy.normalise_observations",
)
"""Options of metarl's own inner loop; they do not apply to these methods."""


@dataclass(frozen=True)
class Sb3Options:
    """Options of an inner loop by `learn` of a Stable-Baselines3 algorithm."""

    algorithm: Literal["PPO", "A2C", "SAC", "TD3", "DQN"] = "PPO"
    """Algorithm of Stable-Baselines3."""
    timesteps: int = 2048
    """Environment steps of `learn` for each task in each adaptation step."""
    n_envs: int = 1
    """Copies of a task's environment that are stepped together and share the environment steps."""
    settings: str = "{}"
    """Further arguments of the algorithm's constructor as JSON, for instance '{"n_steps": 512}'."""
    acts_first: bool = True
    """Whether SAC, TD3 and DQN act by theta from the first step on, in place of random actions; scratch never does."""
    moves: str = "all"
    """Parameters that the outer update changes: all, actor, critic, or a pattern of names; others stay as drawn."""

    def given(self) -> dict[str, Any]:
        """`settings` as a dictionary; raises ValueError if it is not a JSON object."""
        value = json.loads(self.settings)
        if not isinstance(value, dict):
            raise ValueError("not an object")
        return value

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments: `settings`, and defaults for a policy that has learned and a task that is short.

        `action_noise` is a standard deviation.
        """
        given: dict[str, Any] = self.given()
        chosen: dict[str, Any] = {}
        if self.acts_first and self.algorithm not in ON_POLICY:
            chosen["learning_starts"] = 0
        if self.algorithm == "TD3":
            chosen["action_noise"] = ACTION_NOISE
        if self.algorithm == "DQN":
            chosen["target_update_interval"] = max(1, self.timesteps // TARGET_UPDATES)
            if self.acts_first:
                chosen["exploration_initial_eps"] = given.get("exploration_final_eps", EPSILON)
                chosen["exploration_final_eps"] = EPSILON
        return chosen | given


@dataclass(frozen=True)
class Sb3Config(TrainConfig):
    """Options of every outer update around Stable-Baselines3.

    `inner.lr` is the learning rate of `learn`; `episodes` is the number of episodes that measure a return.
    """

    gae_lambda: float = 0.95
    """Lambda of generalised advantage estimation (PPO and A2C)."""
    inner: InnerConfig = field(default_factory=lambda: InnerConfig(lr=3e-4))
    sb3: Sb3Options = field(default_factory=Sb3Options)

    def learner(self) -> str:
        """Name of the Stable-Baselines3 algorithm."""
        return f"SB3 {self.sb3.algorithm}"

    def untrained(self) -> Sb3Config:
        """Scratch explores as Stable-Baselines3 has it: a policy that has learned nothing is no better than chance."""
        return self if self.sb3.algorithm in ON_POLICY else replace(self, sb3=replace(self.sb3, acts_first=False))

    def unused(self) -> tuple[str, ...]:
        """Options of metarl's inner loop, and for off-policy algorithms those of advantages and first deviation."""
        return _UNUSED if self.sb3.algorithm in ON_POLICY else (*_UNUSED, "gae_lambda", "policy.initial_log_std")

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Options of metarl's inner loop that were changed, and settings that are not a JSON object."""
        yield from super().conflicts()
        default = type(self)()
        for name in self.unused():
            if value_of(self, name) != value_of(default, name):
                yield name, f"{value_of(default, name)}: {self.sb3.algorithm} of Stable-Baselines3 has no use for it"
        if self.sb3.algorithm in ON_POLICY and not self.sb3.acts_first:
            yield "sb3.acts_first", f"true: {self.sb3.algorithm} of Stable-Baselines3 never acts at random first"
        try:
            self.sb3.given()
        except ValueError as error:
            yield "sb3.settings", f'a JSON object such as {{"n_steps": 512}}: {error}'


@dataclass(frozen=True)
class ReptileSb3Config(ReptileOptions, Sb3Config):
    """Reptile (Nichol et al. 2018) around an algorithm of Stable-Baselines3."""


@dataclass(frozen=True)
class PretrainSb3Config(Sb3Config):
    """An algorithm of Stable-Baselines3 trained jointly on all tasks and fine-tuned to each."""

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Off-policy algorithms and partial updates, in addition to the conflicts of every `Sb3Config`."""
        yield from super().conflicts()
        if self.sb3.algorithm not in ON_POLICY:
            yield "sb3.algorithm", f"{' or '.join(ON_POLICY)}: a replay buffer would have to survive a resume"
        if self.sb3.moves != "all":
            yield "sb3.moves", "all: nothing is left as drawn where one model learns from all tasks"

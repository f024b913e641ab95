"""Task families learned by Stable-Baselines3: the setup of `reptile-sb3` and `pretrain-sb3`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from metarl.adaptation.problem import Collected
from metarl.config.sb3 import Sb3Config
from metarl.core.errors import ConfigError
from metarl.core.params import TaskParams
from metarl.core.prng import Key
from metarl.core.ranks import current
from metarl.families.family import TaskFamily
from metarl.families.tasks import Tasks
from metarl.families.vec_env import VecEnv, make_vec_env
from metarl.rl.data import Episodes, mean_returns, success_rates
from metarl.rl.setup import FamilySetup
from metarl.sb3.acting import GREEDY, episodes_of
from metarl.sb3.adapter import Learning, Sb3Adapter
from metarl.sb3.learner import Learner, rollout_steps

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm


class Sb3Problem:
    """Episodes that measure a model of Stable-Baselines3 on a task; nothing learns from them."""

    block = 1
    """Tasks adapted at once: a model each."""

    def __init__(self, config: Sb3Config, family: TaskFamily) -> None:
        self.config, self.family = config, family
        self._vec_env: VecEnv | None = None

    def collect(self, params: TaskParams, tasks: Tasks, key: Key, memory: Any = None) -> Collected:
        """Fresh episodes of the model in `memory`; NaN where it diverged."""
        learning: Learning = memory
        none_used = torch.zeros(1, dtype=torch.int64)
        if learning.diverged is not None:
            nan = torch.full((1,), float("nan"), dtype=torch.float64)
            return Collected(None, nan, none_used, nan, nan)
        episodes = self._measured(learning.model, tasks, learning.key.at("measure", learning.steps))
        performance = mean_returns(episodes)
        return Collected(None, performance, none_used, performance, success_rates(episodes))

    def _measured(self, model: BaseAlgorithm, task: Tasks, key: Key) -> Episodes:
        if self._vec_env is None:
            self._vec_env = make_vec_env(
                self.family, task, self.config.episodes, device=torch.device("cpu"), dtype=torch.float32
            )
        else:
            self._vec_env.set_tasks(task)
        return episodes_of(model, self._vec_env, key, horizon=self.family.horizon, episodes=self.config.episodes)

    def inner_loss(self, params: TaskParams, data: Any) -> Tensor:
        """None: Stable-Baselines3 has losses of its own."""
        raise NotImplementedError("adaptation by Stable-Baselines3 has no inner loss")

    outer_loss = inner_loss

    def close(self) -> None:
        """Close the environments of measurements."""
        if self._vec_env is not None:
            self._vec_env.close()
            self._vec_env = None


class Sb3Setup(FamilySetup):
    """A task family, and an algorithm of Stable-Baselines3 that learns it."""

    config: Sb3Config

    def __init__(self, config: Sb3Config) -> None:
        if config.samples_per_step is not None:
            raise ConfigError(
                f"--samples-per-step = {config.samples_per_step}; expected none: a step of adaptation is "
                f"{config.sb3.timesteps} environment steps of learning, as the run was trained"
            )
        if current().size > 1:
            raise ConfigError(
                f"{current().size} processes; expected one: learning by Stable-Baselines3 is not shared out"
            )
        super().__init__(config)
        assert isinstance(self.model, Learner)
        rollout = config.sb3.n_envs * rollout_steps(self.model.algorithm, self.model.settings)
        if config.sb3.timesteps % rollout:
            raise ConfigError(
                f"--sb3.timesteps = {config.sb3.timesteps}; expected a multiple of {rollout}, a rollout of "
                f"{config.sb3.algorithm} (n_steps in --sb3.settings times --sb3.n-envs)"
            )

    def build_model(self) -> Learner:
        return Learner(self.config, self.family)

    def problem(self, *, training: bool) -> Sb3Problem:  # type: ignore[override]
        return Sb3Problem(self.config, self.family)

    def adapter(self, lr: float | None = None, later_lr: float | None = None) -> Sb3Adapter:  # type: ignore[override]
        """`learn` at a rate; raises ConfigError for another rate of later steps, since learning goes on at one."""
        assert isinstance(self.model, Learner)
        rate = self.config.inner.lr if lr is None else lr
        if later_lr not in (None, rate):
            raise ConfigError(f"--later-inner-lr = {later_lr}; expected none: learning goes on at one rate")
        return Sb3Adapter(self.model, rate, self.config.sb3.timesteps)

    def budget(self, steps: int) -> dict[str, Any]:
        timesteps = self.config.sb3.timesteps
        return {
            "budget": f"{timesteps} environment steps",
            "episodes_per_step": self.config.episodes,
            "samples_per_step": timesteps,
            "environment_steps": [step * timesteps for step in range(steps + 1)],
        }

    def protocol(self) -> Mapping[str, Any]:
        assert isinstance(self.model, Learner)
        algorithm = self.config.sb3.algorithm
        return {
            **self.family.protocol,
            "horizon": self.family.horizon,
            "adapts_by": f"{algorithm} of Stable-Baselines3, {self.config.sb3.timesteps} environment steps a step",
            "settings": json.dumps(self.model.settings),
            **({"learns_after": f"{self.model.waits} transitions"} if self.model.waits else {}),
            "gamma": self.config.gamma,
            "actions_sampled": algorithm not in GREEDY,
            "episodes_measured": f"{self.config.episodes} beside those learned from",
        }


def setup(config: Sb3Config) -> Sb3Setup:
    """The setup of a configuration of `reptile-sb3` or `pretrain-sb3`."""
    return Sb3Setup(config)

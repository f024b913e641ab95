"""Setup of `reptile-sb3` and `pretrain-sb3`: a task family and an algorithm of Stable-Baselines3."""

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
    """Problem that evaluates a Stable-Baselines3 model on a task; the collected episodes are not used for learning.

    Args:
        config: The configuration.
        family: Makes the environments.
    """

    block = 1
    """Tasks in one call: one, since each task has a model of its own."""

    def __init__(self, config: Sb3Config, family: TaskFamily) -> None:
        self.config, self.family = config, family
        self._vec_env: VecEnv | None = None

    def collect(self, params: TaskParams, tasks: Tasks, key: Key, memory: Any = None) -> Collected:
        """Collect new episodes of the model in `memory`; performance is NaN if the model has diverged."""
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
        """Not available, since Stable-Baselines3 has its own losses; raises NotImplementedError."""
        raise NotImplementedError("adaptation by Stable-Baselines3 has no inner loss")

    outer_loss = inner_loss

    def close(self) -> None:
        """Close the environments of the evaluation."""
        if self._vec_env is not None:
            self._vec_env.close()
            self._vec_env = None


class Sb3Setup(FamilySetup):
    """Setup of an algorithm of Stable-Baselines3 on a task family.

    Args:
        config: The configuration.

    Raises:
        ConfigError: An option, the number of processes or the number of timesteps cannot be used.
    """

    config: Sb3Config
    adapts_to_measured = False
    """Learners collect data of their own, and are measured beside it."""

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
        """The learner, which draws initial parameters."""
        return Learner(self.config, self.family)

    def problem(self, *, training: bool) -> Sb3Problem:  # type: ignore[override]
        """A problem that evaluates models."""
        return Sb3Problem(self.config, self.family)

    def adapter(self, lr: float | None = None, later_lr: float | None = None) -> Sb3Adapter:  # type: ignore[override]
        """The adapter, with another learning rate if one is given; raises ConfigError if a later rate differs."""
        assert isinstance(self.model, Learner)
        rate = self.config.inner.lr if lr is None else lr
        if later_lr not in (None, rate):
            raise ConfigError(f"--later-inner-lr = {later_lr}; expected none: learning goes on at one rate")
        return Sb3Adapter(self.model, rate, self.config.sb3.timesteps)

    def largest_tensor(self) -> int:
        """0: Stable-Baselines3 learns task by task, on minibatches that one thread works through fastest."""
        return 0

    def budget(self, steps: int) -> dict[str, Any]:
        """Environment steps of `learn` before each of `steps` + 1 points."""
        timesteps = self.config.sb3.timesteps
        return {
            "budget": f"{timesteps} environment steps",
            "episodes_per_step": self.config.episodes,
            "samples_per_step": timesteps,
            "environment_steps": [step * timesteps for step in range(steps + 1)],
        }

    def protocol(self) -> Mapping[str, Any]:
        """The family's protocol, with algorithm, settings and discount factor."""
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
    """Build the setup of a configuration of `reptile-sb3` or `pretrain-sb3`."""
    return Sb3Setup(config)

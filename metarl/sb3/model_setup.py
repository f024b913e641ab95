"""What a model of Stable-Baselines3 reaches on held-out tasks as it is: step 0 of an adaptation curve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from gymnasium import spaces
from torch import Tensor

from metarl.adaptation.adapter import AdaptState
from metarl.adaptation.problem import Collected, Problem
from metarl.config.run import TrainConfig
from metarl.core.errors import FamilyError
from metarl.core.params import Params, TaskParams
from metarl.core.prng import Key
from metarl.families.tasks import Tasks
from metarl.families.vec_env import make_vec_env
from metarl.rl.data import mean_returns, success_rates
from metarl.rl.setup import FamilySetup
from metarl.sb3.acting import ActingModel, episodes_of

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm


class Fixed:
    """The adapter of a model that does not adapt."""

    def add_state(self, theta: Params) -> Params:
        return theta

    def initial(self, theta: Params, tasks: Tasks, key: Key) -> AdaptState:
        return AdaptState({})

    def policy(self, state: AdaptState) -> tuple[TaskParams, None]:
        return {}, None

    def observe(self, problem: Problem, state: AdaptState, collected: Collected) -> AdaptState:
        return state._replace(step=state.step + 1)

    def carried(self, theta: Params, state: AdaptState) -> Params:
        return {}

    def close(self, state: AdaptState) -> None:
        """Nothing is held."""

    def facts(self) -> dict[str, Any]:
        return {}


class ModelSetup(FamilySetup):
    """A task family, and a trained model that acts on it."""

    def __init__(self, config: TrainConfig, trained: BaseAlgorithm) -> None:
        super().__init__(config)
        self.trained = trained
        theirs, ours = trained.observation_space, self.family.observation_space
        if theirs.shape != ours.shape:
            raise FamilyError(
                f"the model's observations have shape {theirs.shape}; those of '{self.name}' {ours.shape}"
            )
        if spaces.flatdim(trained.action_space) != spaces.flatdim(self.family.action_space):
            raise FamilyError(
                f"the model's action space is {trained.action_space}; that of '{self.name}' {self.family.action_space}"
            )

    def problem(self, *, training: bool) -> ModelProblem:  # type: ignore[override]
        return ModelProblem(self)

    def protocol(self) -> Mapping[str, Any]:
        return {
            **self.family.protocol,
            "horizon": self.family.horizon,
            "acts": f"{type(self.trained).__name__} of Stable-Baselines3",
            "actions_sampled": not ActingModel(self.trained).deterministic,
        }


class ModelProblem:
    """Episodes of a model that does not adapt."""

    def __init__(self, setup: ModelSetup) -> None:
        self.setup = setup

    def collect(self, params: TaskParams, tasks: Tasks, key: Key, memory: Any = None) -> Collected:
        """Episodes of the model on every task."""
        family, episodes = self.setup.family, self.setup.config.episodes
        vec_env = make_vec_env(family, tasks, episodes, device="cpu", dtype=torch.float32)
        found = episodes_of(self.setup.trained, vec_env, key, horizon=family.horizon, episodes=episodes)
        vec_env.close()
        performance = mean_returns(found)
        return Collected(None, performance, found.mask.sum((1, 2)), performance, success_rates(found))

    def inner_loss(self, params: TaskParams, data: Any) -> Tensor:
        """None: the model is measured as it is."""
        raise NotImplementedError("a model that is measured as it is has no loss")

    outer_loss = inner_loss

    def close(self) -> None:
        """Nothing is held."""

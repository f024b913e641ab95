"""Evaluation of a Stable-Baselines3 model without adaptation: step 0 of an adaptation curve."""

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
    """Adapter of a model that does not adapt."""

    def add_state(self, theta: Params) -> Params:
        """theta unchanged."""
        return theta

    def initial(self, theta: Params, tasks: Tasks, key: Key) -> AdaptState:
        """State without parameters, since the model has its own."""
        return AdaptState({})

    def policy(self, state: AdaptState) -> tuple[TaskParams, None]:
        """No parameters and no memory."""
        return {}, None

    def observe(self, problem: Problem, state: AdaptState, collected: Collected) -> AdaptState:
        """The same state, one step later."""
        return state._replace(step=state.step + 1)

    def carried(self, theta: Params, state: AdaptState) -> Params:
        """No entries."""
        return {}

    def close(self, state: AdaptState) -> None:
        """No-op: a state holds no resources."""

    def facts(self) -> dict[str, Any]:
        """No entries."""
        return {}


class ModelSetup(FamilySetup):
    """Setup of a trained model on a task family.

    Args:
        config: Family, variant and number of episodes.
        trained: The model.

    Raises:
        FamilyError: The spaces of the model and of the family differ.
    """

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
        """A problem that collects episodes of the model."""
        return ModelProblem(self)

    def protocol(self) -> Mapping[str, Any]:
        """The family's protocol, with the model's algorithm."""
        return {
            **self.family.protocol,
            "horizon": self.family.horizon,
            "acts": f"{type(self.trained).__name__} of Stable-Baselines3",
            "actions_sampled": not ActingModel(self.trained).deterministic,
        }


class ModelProblem:
    """Problem of a model that does not adapt: it collects episodes and has no losses.

    Args:
        setup: Family, model and number of episodes.
    """

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
        """Not available; raises NotImplementedError."""
        raise NotImplementedError("a model that is measured as it is has no loss")

    outer_loss = inner_loss

    def close(self) -> None:
        """No-op: environments are closed after each collection."""

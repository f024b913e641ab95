"""Adaptation by Stable-Baselines3: an adaptation step is `learn` for a number of environment steps."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch

from metarl.adaptation.adapter import AdaptState
from metarl.adaptation.problem import Collected, Problem
from metarl.core.errors import Divergence
from metarl.core.params import Params, TaskParams
from metarl.core.prng import Key
from metarl.families.tasks import Tasks
from metarl.sb3.acting import RandomState, private_randomness
from metarl.sb3.learner import Learner, parameters_of

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm


@dataclass(frozen=True)
class Learning:
    """A model during adaptation, with the state of its random generators."""

    model: BaseAlgorithm
    key: Key
    """Position of the random numbers of the task."""
    random: RandomState
    steps: int = 0
    """Number of adaptation steps."""
    returns: list[float | None] = field(default_factory=list)
    """Mean return of the episodes that ended during each adaptation step; None if none ended."""
    diverged: Divergence | None = None
    """The error of a model that has diverged."""


@dataclass(frozen=True)
class Sb3Adapter:
    """Adapter that trains one model by `learn`, on one task or on several alternately.

    Optimiser and replay buffer persist between steps. A model with parameters that are not finite is marked as diverged
    and is not trained further.
    """

    learner: Learner
    lr: float
    """Learning rate of the model."""
    timesteps: int
    """Environment steps of each adaptation step."""

    def add_state(self, theta: Params) -> Params:
        """theta unchanged: the adapter has no entries of its own."""
        return theta

    def initial(self, theta: Params, tasks: Tasks, key: Key) -> AdaptState:
        """State with a new model that has the parameters of theta, a new optimiser and an empty buffer."""
        with private_randomness(key) as random:
            model = self.learner.starting(theta, tasks, key, self.lr)
            random.keep()
        return self._state(Learning(model, key, random))

    def policy(self, state: AdaptState) -> tuple[TaskParams, Learning]:
        """The parameters, and the model as memory."""
        return state.params, state.memory

    def observe(self, problem: Problem, state: AdaptState, collected: Collected | None) -> AdaptState:
        """Train the model for `timesteps` environment steps; the collected data is only for evaluation."""
        learning: Learning = state.memory
        if learning.diverged is not None:
            return state._replace(step=state.step + 1)
        random = learning.random
        with random.resumed():
            try:
                found, diverged = self.learner.learn(learning.model, self.timesteps), None
            except Divergence as error:
                found, diverged = None, error
            random.keep()
        returns = [*learning.returns, found]
        return self._state(replace(learning, steps=learning.steps + 1, returns=returns, diverged=diverged))

    def _state(self, learning: Learning) -> AdaptState:
        params = {name: value[None] for name, value in parameters_of(learning.model).items()}
        used = torch.tensor([learning.model.num_timesteps])
        return AdaptState(params, learning.steps, learning, used)

    def carried(self, theta: Params, state: AdaptState) -> Params:
        """No entries: optimisers and buffers are new for each task."""
        return {}

    def close(self, state: AdaptState) -> None:
        """Close the model's environments."""
        state.memory.model.get_env().close()

    def facts(self) -> dict[str, Any]:
        """The learning rate of all steps."""
        return {"inner_lr": self.lr, "later_inner_lr": self.lr}

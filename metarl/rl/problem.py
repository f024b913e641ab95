"""Policy-gradient reinforcement learning as a `Problem`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor

from metarl.adaptation.problem import Collected, Distribution
from metarl.core.errors import WorkerFault
from metarl.core.params import TaskParams
from metarl.core.prng import Key
from metarl.core.ranks import all_reduce_max, sync_errors
from metarl.families.tasks import Tasks, number_of_tasks
from metarl.families.vec_env import VecEnv
from metarl.rl.advantages import fit_to_returns, policy_batch
from metarl.rl.data import (
    Episodes,
    PolicyBatch,
    flatten_valid,
    mean_discounted_returns,
    mean_returns,
    padded,
    success_rates,
    with_successes,
)
from metarl.rl.losses import SURROGATES, clipped_surrogate, ratio_surrogate
from metarl.rl.normalisation import moments
from metarl.rl.policies import Policy, module_of
from metarl.rl.rollouts import collect_with_memory


class ReinforcementLearning:
    """Policy-gradient reinforcement learning as a problem of adaptation.

    If a worker fails, the same episodes are collected again with new workers, since random numbers depend only on the
    key.

    Args:
        policy: The policy.
        vec_env_for: Builds the vector environment of a batch of tasks; it is built once and then re-tasked.
        horizon: Steps after which an episode is truncated.
        episodes: Episodes of each task in each step.
        transitions: Minimum transitions of each task in each step, in whole episodes; replaces `episodes`.
        gamma: Discount factor.
        gae_lambda: Lambda of generalised advantage estimation.
        surrogate: Estimator of the inner loss, a key of `metarl.rl.losses.SURROGATES`.
        worker_retries: Maximum number of repetitions after a worker failed.
    """

    def __init__(
        self,
        policy: Policy,
        vec_env_for: Callable[[Tasks], VecEnv],
        *,
        horizon: int,
        episodes: int,
        transitions: int | None = None,
        gamma: float = 0.99,
        gae_lambda: float = 1.0,
        surrogate: str = "low-variance",
        worker_retries: int = 0,
    ) -> None:
        self.policy = policy
        self.horizon = horizon
        self.episodes = episodes
        self.transitions = transitions
        self.gamma = gamma
        self.gae_lambda = gae_lambda
        self.worker_retries = worker_retries
        self._vec_env_for = vec_env_for
        self._surrogate = SURROGATES[surrogate]
        self._needs_order = surrogate == "dice"
        self._vec_env: VecEnv | None = None
        self._tasks: Tasks | None = None

    def episodes_of(self, params: TaskParams, tasks: Tasks, key: Key, memory: Any = None) -> tuple[Episodes, Any]:
        """Collect episodes of every task under its own parameters.

        Args:
            params: Parameters with a leading `tasks` axis.
            tasks: The tasks.
            key: Position of the random numbers.
            memory: Initial memory of a policy with memory.

        Returns:
            The episodes, and the policy's memory after them.

        Raises:
            Divergence: Parameters have diverged.
            WorkerFault: A worker failed more than `worker_retries` times.
        """
        self.policy.check(params)
        for retries in reversed(range(self.worker_retries + 1)):
            try:
                return collect_with_memory(
                    self._vec_env_of(tasks),
                    self.policy,
                    params,
                    key,
                    memory,
                    horizon=self.horizon,
                    episodes=self.episodes,
                    transitions=self.transitions,
                )
            except WorkerFault as error:
                self.close()
                if retries == 0:
                    raise
                warnings.warn(f"{error}; tried again with new workers", stacklevel=2)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _vec_env_of(self, tasks: Tasks) -> VecEnv:
        """The vector environment with these tasks; built on first use."""
        if self._vec_env is None or self._vec_env.tasks != number_of_tasks(tasks):
            self.close()
            self._vec_env = self._vec_env_for(tasks)
        elif tasks is not self._tasks:
            self._vec_env.set_tasks(tasks)
        self._tasks = tasks
        return self._vec_env

    def collect(self, params: TaskParams, tasks: Tasks, key: Key, memory: Any = None) -> Collected:
        """Collect episodes and compute advantages.

        The shape is the same on all ranks. Arguments are those of `episodes_of`.
        """
        with sync_errors():
            episodes, memory = self.episodes_of(params, tasks, key, memory)
        return self.collected(params, episodes, memory)

    def collected(self, params: TaskParams, episodes: Episodes, memory: Any = None) -> Collected:
        """Episodes as the data of an adaptation step, with advantages.

        Args:
            params: Parameters that the episodes were collected with.
            episodes: The episodes of every task.
            memory: The policy's memory after them.
        """
        *size, known = all_reduce_max(*episodes.mask.shape[1:], int(episodes.successes is not None))
        episodes = padded(episodes, *size)
        if known:
            episodes = with_successes(episodes)
        module = module_of(self.policy)
        if module is None:
            seen = episodes
        else:  # pixels as floats, averaged over a coarse grid
            summary = module.layout.summary(episodes.observations, episodes.rewards.dtype)
            seen = episodes._replace(observations=summary)
        coefficients = fit_to_returns(seen, self.gamma)
        batch = policy_batch(seen, coefficients, gamma=self.gamma, gae_lambda=self.gae_lambda)
        batch = batch._replace(observations=episodes.observations)
        transitions = episodes.mask.sum((1, 2))
        if not self._needs_order:
            batch = flatten_valid(batch, episodes.mask, *all_reduce_max(int(transitions.max())))
        return Collected(
            batch,
            mean_returns(episodes),
            transitions,
            mean_discounted_returns(episodes, self.gamma),
            success_rates(episodes),
            moments(params, episodes.observations, episodes.mask),
            memory,
        )

    def distribution(self, params: TaskParams, data: PolicyBatch) -> Distribution:
        """Distribution over actions for the observations of the data."""
        return self.policy.act(params, data.observations)[0]

    def inner_loss(self, params: TaskParams, data: PolicyBatch) -> Float[Tensor, " tasks"]:
        """The configured surrogate."""
        return self._surrogate(self.distribution(params, data), data)

    def log_likelihood(self, params: TaskParams, data: PolicyBatch) -> Float[Tensor, " tasks"]:
        """Mean log-probability of the actions of each task's data."""
        return (self.distribution(params, data).log_prob(data.actions) * data.weights).sum((1, 2))

    def loss_of(self, distribution: Distribution, data: PolicyBatch) -> Float[Tensor, " tasks"]:
        """The ratio surrogate of a distribution."""
        return ratio_surrogate(distribution, data)

    def outer_loss(self, params: TaskParams, data: PolicyBatch) -> Float[Tensor, " tasks"]:
        """The ratio surrogate of the policy."""
        return self.loss_of(self.distribution(params, data), data)

    def clipped_loss(self, params: TaskParams, data: PolicyBatch, clip: float) -> Float[Tensor, " tasks"]:
        """PPO's clipped surrogate of the policy."""
        return clipped_surrogate(self.distribution(params, data), data, clip)

    def divergence(self, distribution: Distribution, old: Distribution, data: PolicyBatch) -> Float[Tensor, " tasks"]:
        """KL(old || new), averaged over each task's transitions."""
        return (distribution.kl_from(old) * data.weights).sum((1, 2))  # type: ignore[arg-type]

    def of_tasks(self, data: PolicyBatch, tasks: Int[Tensor, " chosen"]) -> PolicyBatch:
        """The transitions of some tasks, by their indices."""
        return PolicyBatch._make(part[tasks.to(part.device)] for part in data)

    def close(self) -> None:
        """Close the vector environment."""
        if self._vec_env is not None:
            self._vec_env.close()
            self._vec_env = None

"""What an outer update sees of the data: collect it, and losses of adapted parameters on it.

Reinforcement learning is one such problem; supervised few-shot tasks are another, with the same methods.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from metarl import reductions
from metarl.errors import WorkerFault
from metarl.lanes import Lanes
from metarl.losses import SURROGATES, clipped_surrogate, ratio_surrogate
from metarl.normalisation import moments
from metarl.packing import packed_by_seed, thinned
from metarl.policies import Distribution, Policy
from metarl.randomness import Key
from metarl.ranks import all_or_none, largest
from metarl.returns import fit_to_returns, policy_batch
from metarl.rollout import collect, mean_returns, padded, success_rates, with_successes
from metarl.tasks import Tasks, number_of_tasks
from metarl.types import Episodes, PolicyBatch, TaskParams

FEWEST_TRANSITIONS = 200
"""Of each task in the curvature: with fewer, the direction is so noisy that the line search gives most of it up."""


class Collected(NamedTuple):
    """Data of one step of adaptation, its score for each task (mean return), and what each task's cost."""

    data: Any
    score: Float[Tensor, " tasks"]
    transitions: Int[Tensor, " tasks"]
    objective: Float[Tensor, " tasks"]
    """What the outer loss descends on, in its own units: the gradient of -objective is that of the outer loss."""
    success: Float[Tensor, " tasks"] | None = None
    """Share of each task's episodes that succeeded; None where nothing is known of it."""
    observed: Float[Tensor, "tasks moments"] | None = None
    """Moments of each task's observations (`metarl.normalisation`), where the policy keeps statistics of them."""


class Problem(Protocol):
    """The contract between outer updates and whatever they learn from. Losses have shape (tasks,)."""

    def collect(self, params: TaskParams, tasks: Tasks, key: Key) -> Collected: ...

    def inner_loss(self, params: TaskParams, data: Any) -> Float[Tensor, " tasks"]: ...

    def outer_loss(self, params: TaskParams, data: Any) -> Float[Tensor, " tasks"]: ...


class SampledProblem(Problem, Protocol):
    """A problem whose data depends on the parameters that it was collected with."""

    def log_likelihood(self, params: TaskParams, data: Any) -> Float[Tensor, " tasks"]: ...


class DistributionalProblem(Problem, Protocol):
    """A problem whose parameters define a distribution over outputs, as trust regions need."""

    def distribution(self, params: TaskParams, data: Any) -> Distribution: ...

    def loss_of(self, distribution: Distribution, data: Any) -> Float[Tensor, " tasks"]: ...

    def divergence(self, distribution: Distribution, old: Distribution, data: Any) -> Float[Tensor, " tasks"]: ...

    def thinned(self, data: Any, stride: int) -> Any: ...


class ClippedProblem(DistributionalProblem, Protocol):
    """A problem whose outer loss can be clipped, as PPO does."""

    def clipped_loss(self, params: TaskParams, data: Any, clip: float) -> Float[Tensor, " tasks"]: ...


def mean_over_tasks(values: Float[Tensor, tasks * rest]) -> Tensor:
    """The one place where tasks meet: the mean over the leading axis, of all ranks."""
    return reductions.mean_over_tasks(values)


class ReinforcementLearning:
    """Policy-gradient reinforcement learning.

    `lanes_for(tasks)` builds the environments of a batch of tasks; they are built once and then re-tasked.
    The budget of each task in each step is `episodes`, or at least `transitions` in whole episodes. Where a worker
    fails, the episodes are collected again with new workers, at most `worker_retries` times: the same episodes, since
    random numbers depend on the key alone.
    """

    def __init__(
        self,
        policy: Policy,
        lanes_for: Callable[[Tasks], Lanes],
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
        self._lanes_for = lanes_for
        self._surrogate = SURROGATES[surrogate]
        self._needs_order = surrogate == "dice"
        self._lanes: Lanes | None = None
        self._tasks: Tasks | None = None

    def episodes_of(self, params: TaskParams, tasks: Tasks, key: Key) -> Episodes:
        """Episodes of every task under its own parameters; raises Divergence where those have diverged."""
        self.policy.check(params)
        for retries in reversed(range(self.worker_retries + 1)):
            try:
                return collect(
                    self._lanes_of(tasks),
                    self.policy,
                    params,
                    key,
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

    def _lanes_of(self, tasks: Tasks) -> Lanes:
        """The lanes, built once, at work on these tasks."""
        if self._lanes is None or self._lanes.tasks != number_of_tasks(tasks):
            self.close()
            self._lanes = self._lanes_for(tasks)
        elif tasks is not self._tasks:
            self._lanes.set_tasks(tasks)
        self._tasks = tasks
        return self._lanes

    def collect(self, params: TaskParams, tasks: Tasks, key: Key) -> Collected:
        """Episodes with advantages, of the same shape for all ranks: which transitions are thinned depends on it.

        Of several seeds each keeps the shape of its own run for that.
        """
        with all_or_none():
            episodes = self.episodes_of(params, tasks, key)
        *size, known = largest(*episodes.mask.shape[1:], int(episodes.successes is not None))
        episodes = padded(episodes, *size)
        if known:
            episodes = with_successes(episodes)
        coefficients = fit_to_returns(episodes, self.gamma)
        batch, scale = policy_batch(episodes, coefficients, gamma=self.gamma, gae_lambda=self.gae_lambda)
        transitions = episodes.mask.sum((1, 2))
        if not self._needs_order:
            batch = packed_by_seed(batch, episodes.mask, transitions)
        # The loss averages over transitions of normalised advantages, where the return is a sum over an episode's.
        steps = torch.arange(episodes.rewards.shape[-1], device=scale.device)
        discounted = (episodes.rewards @ self.gamma ** steps.to(scale.dtype)).sum(1)
        objective = discounted / transitions / scale
        return Collected(
            batch,
            mean_returns(episodes),
            transitions,
            objective,
            success_rates(episodes),
            moments(params, episodes.observations, episodes.mask),
        )

    def distribution(self, params: TaskParams, data: PolicyBatch) -> Distribution:
        return self.policy.act(params, data.observations)[0]

    def inner_loss(self, params: TaskParams, data: PolicyBatch) -> Float[Tensor, " tasks"]:
        return self._surrogate(self.distribution(params, data), data)

    def log_likelihood(self, params: TaskParams, data: PolicyBatch) -> Float[Tensor, " tasks"]:
        """Log-probability of all actions of a task's data."""
        return (self.distribution(params, data).log_prob(data.actions) * (data.weights > 0)).sum((1, 2))

    def loss_of(self, distribution: Distribution, data: PolicyBatch) -> Float[Tensor, " tasks"]:
        return ratio_surrogate(distribution, data)

    def outer_loss(self, params: TaskParams, data: PolicyBatch) -> Float[Tensor, " tasks"]:
        return self.loss_of(self.distribution(params, data), data)

    def clipped_loss(self, params: TaskParams, data: PolicyBatch, clip: float) -> Float[Tensor, " tasks"]:
        return clipped_surrogate(self.distribution(params, data), data, clip)

    def divergence(self, distribution: Distribution, old: Distribution, data: PolicyBatch) -> Float[Tensor, " tasks"]:
        """KL(old || new) averaged over each task's transitions."""
        return (distribution.kl_from(old) * data.weights).sum((1, 2))  # type: ignore[arg-type]

    def thinned(self, data: PolicyBatch, stride: int) -> PolicyBatch:
        """Every stride-th transition, with weights that sum to one again; more where few would be left.

        The first one kept moves on by a step from episode to episode, so that all times are represented; the first
        transition of the first episode, which no task lacks, is always among them. DiCE, which needs whole episodes,
        gets all of them.
        """
        if self._needs_order:
            return data
        part = thinned(data, stride, FEWEST_TRANSITIONS)
        return part._replace(weights=part.weights / part.weights.sum((1, 2), keepdim=True))

    def close(self) -> None:
        if self._lanes is not None:
            self._lanes.close()
            self._lanes = None

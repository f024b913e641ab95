"""The contract between outer updates and what they learn from: collect data, and losses of parameters on it.

Reinforcement learning is one such problem; supervised few-shot tasks are another, with the same methods.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol, Self

from jaxtyping import Float, Int
from torch import Tensor

from metarl.core.params import TaskParams
from metarl.core.prng import Key
from metarl.families.tasks import Tasks


class Collected(NamedTuple):
    """Data of one step of adaptation, with what each task reached and used.

    `performance` is the mean return of a task's episodes (higher is better), or another measure of the problem's.
    """

    data: Any
    performance: Float[Tensor, " tasks"]
    transitions: Int[Tensor, " tasks"]
    objective: Float[Tensor, " tasks"]
    """What the outer update is to raise, in its own units: mean discounted return, or minus the query loss."""
    success: Float[Tensor, " tasks"] | None = None
    """Share of each task's episodes that succeeded; None where the environments do not report success."""
    observed: Float[Tensor, "tasks moments"] | None = None
    """Moments of each task's observations (`metarl.rl.normalisation`), where the policy keeps statistics of them."""
    memory: Any = None
    """The policy's memory after the last step; None for policies without one."""


class Distribution(Protocol):
    """A distribution over outputs for every task, a named tuple of tensors (tasks, ...)."""

    def __iter__(self) -> Iterator[Tensor]: ...

    def log_prob(self, outputs: Tensor) -> Tensor:
        """Log-probability of outputs, one number a row."""
        ...

    def kl_from(self, old: Self) -> Tensor:
        """KL(old || self), one number a row."""
        ...

    def fisher_product(self, tangent: Self) -> Self:
        """Fisher information of the distribution's parameters, times a tangent."""
        ...


class Problem(Protocol):
    """The contract between outer updates and whatever they learn from. Losses have shape (tasks,)."""

    def collect(self, params: TaskParams, tasks: Tasks, key: Key, memory: Any = None) -> Collected:
        """Fresh data of every task under its own parameters; a policy with memory begins with `memory`."""
        ...

    def inner_loss(self, params: TaskParams, data: Any) -> Float[Tensor, " tasks"]:
        """The loss that adaptation descends on."""
        ...

    def outer_loss(self, params: TaskParams, data: Any) -> Float[Tensor, " tasks"]:
        """The loss that the outer update descends on."""
        ...


class SampledProblem(Problem, Protocol):
    """A problem whose data depends on the parameters that it was collected with."""

    def log_likelihood(self, params: TaskParams, data: Any) -> Float[Tensor, " tasks"]:
        """Mean log-probability of what was sampled into each task's data."""
        ...


class DistributionalProblem(Problem, Protocol):
    """A problem whose parameters define a distribution over outputs, as trust regions need."""

    def distribution(self, params: TaskParams, data: Any) -> Distribution:
        """The distribution over outputs for the inputs of the data."""
        ...

    def loss_of(self, distribution: Distribution, data: Any) -> Float[Tensor, " tasks"]:
        """The outer loss of a distribution."""
        ...

    def divergence(self, distribution: Distribution, old: Distribution, data: Any) -> Float[Tensor, " tasks"]:
        """KL(old || new) averaged over each task's data."""
        ...

    def subsample(self, data: Any, stride: int) -> Any:
        """Every stride-th part of each task's data."""
        ...


class ClippedProblem(DistributionalProblem, Protocol):
    """A problem whose outer loss can be clipped, as PPO does."""

    def clipped_loss(self, params: TaskParams, data: Any, clip: float) -> Float[Tensor, " tasks"]:
        """The outer loss with likelihood ratios clipped to [1 - clip, 1 + clip]."""
        ...

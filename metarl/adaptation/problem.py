"""The contract between outer updates and their learning problem: data collection, and losses of parameters on data.

Reinforcement learning implements it, and so do supervised few-shot tasks.
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
    """Data of one adaptation step, with the performance of each task and the amount of data.

    `performance` is the mean return of a task's episodes, or another metric of the problem; higher is better.
    """

    data: Any
    performance: Float[Tensor, " tasks"]
    transitions: Int[Tensor, " tasks"]
    objective: Float[Tensor, " tasks"]
    """Objective that the outer update maximises: the mean discounted return, or minus the query loss."""
    success: Float[Tensor, " tasks"] | None = None
    """Fraction of each task's episodes that succeeded; None if the environments do not report success."""
    observed: Float[Tensor, "tasks moments"] | None = None
    """Moments of each task's observations (`metarl.rl.normalisation`); None if the policy keeps no statistics."""
    memory: Any = None
    """The policy's memory after the last step; None for policies without memory."""


class Distribution(Protocol):
    """Protocol of a distribution over outputs for every task: a named tuple of tensors (tasks, ...)."""

    def __iter__(self) -> Iterator[Tensor]: ...

    def log_prob(self, outputs: Tensor) -> Tensor:
        """Log-probability of outputs, one number per row."""
        ...

    def kl_from(self, old: Self) -> Tensor:
        """KL(old || self), one number per row."""
        ...

    def fisher_product(self, tangent: Self) -> Self:
        """Product of the Fisher information of the distribution's parameters with a tangent."""
        ...


class Problem(Protocol):
    """Protocol of a learning problem. Losses have shape (tasks,)."""

    def collect(self, params: TaskParams, tasks: Tasks, key: Key, memory: Any = None) -> Collected:
        """Collect new data of every task under its own parameters.

        Args:
            params: Parameters with a leading `tasks` axis.
            tasks: The tasks.
            key: Position of the random numbers.
            memory: Initial memory of a policy with memory.
        """
        ...

    def inner_loss(self, params: TaskParams, data: Any) -> Float[Tensor, " tasks"]:
        """Loss of adaptation."""
        ...

    def outer_loss(self, params: TaskParams, data: Any) -> Float[Tensor, " tasks"]:
        """Loss of the outer update."""
        ...


class SampledProblem(Problem, Protocol):
    """A problem whose data depends on the parameters with which it was collected."""

    def log_likelihood(self, params: TaskParams, data: Any) -> Float[Tensor, " tasks"]:
        """Mean log-probability of each task's sampled data."""
        ...


class DistributionalProblem(Problem, Protocol):
    """A problem whose parameters define a distribution over outputs; trust regions need one."""

    def distribution(self, params: TaskParams, data: Any) -> Distribution:
        """Distribution over outputs for the inputs of the data."""
        ...

    def loss_of(self, distribution: Distribution, data: Any) -> Float[Tensor, " tasks"]:
        """Outer loss of a distribution."""
        ...

    def divergence(self, distribution: Distribution, old: Distribution, data: Any) -> Float[Tensor, " tasks"]:
        """KL(old || new), averaged over each task's data."""
        ...

    def of_tasks(self, data: Any, tasks: Int[Tensor, " chosen"]) -> Any:
        """The data of some tasks, by their indices."""
        ...


class ClippedProblem(DistributionalProblem, Protocol):
    """A problem with an outer loss that can be clipped, as in PPO."""

    def clipped_loss(self, params: TaskParams, data: Any, clip: float) -> Float[Tensor, " tasks"]:
        """Outer loss with likelihood ratios clipped to [1 - clip, 1 + clip]."""
        ...

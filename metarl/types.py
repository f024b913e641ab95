"""The shapes that run through metarl, stated once.

Axis names: `tasks` the meta-batch, `episodes` the episodes of one task, `steps` time within an episode.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeAlias

from jaxtyping import Bool, Float
from torch import Tensor

Params: TypeAlias = dict[str, Tensor]
"""Named parameters of one initialisation (theta): each tensor has the parameter's own shape."""

TaskParams: TypeAlias = dict[str, Tensor]
"""Named parameters of every task's own copy: each tensor has a leading `tasks` axis."""


State: TypeAlias = dict[str, Params]
"""What an algorithm carries from one iteration to the next: `theta`, and an optimiser's moments if it has one."""


CONTEXT = "context"
"""Name of the context parameters (CAVIA) among a policy's parameters."""

STATISTICS = "observation_statistics."
"""Prefix of the observations' statistics among a policy's parameters, which are not learned."""

MEMORY = "inner_memory."
"""Prefix, among the parameters, of what an inner rule remembers from one iteration to the next; nothing learns it."""


class Episodes(NamedTuple):
    """What one rollout of every task brings back. Entries where `mask` is False are zero and mean nothing."""

    observations: Float[Tensor, "tasks episodes steps observation"]
    actions: Tensor
    """(tasks, episodes, steps, action) for continuous actions, (tasks, episodes, steps) for discrete ones."""
    log_probs: Float[Tensor, "tasks episodes steps"]
    rewards: Float[Tensor, "tasks episodes steps"]
    mask: Bool[Tensor, "tasks episodes steps"]
    successes: Bool[Tensor, "tasks episodes steps"] | None = None
    """Which steps the environment called a success; None where it says nothing of it."""

    def each(self, change: Callable[[Tensor], Tensor]) -> Episodes:
        """The same change made to every tensor that is there."""
        return Episodes._make(x if x is None else change(x) for x in self)

    @property
    def returns(self) -> Float[Tensor, "tasks episodes"]:
        """Undiscounted return of each episode; NaN for rows that hold no episode."""
        total = self.rewards.sum(-1)
        return total.masked_fill(~self.mask[..., 0], float("nan"))

    @property
    def transitions(self) -> int:
        return int(self.mask.sum())


class PolicyBatch(NamedTuple):
    """What a policy-gradient loss needs: transitions with advantages, and `weights` that sum to one in each task.

    The two middle axes are episodes and steps, or one row of all valid transitions (see `packing.packed`).
    """

    observations: Float[Tensor, "tasks episodes steps observation"]
    actions: Tensor
    log_probs: Float[Tensor, "tasks episodes steps"]
    advantages: Float[Tensor, "tasks episodes steps"]
    weights: Float[Tensor, "tasks episodes steps"]
    layouts: tuple[tuple[int, int], ...] = ()
    """Episodes and steps that each seed's transitions lie in by themselves, where unlike ones share a row."""

    @staticmethod
    def of(tensors: Iterable[Tensor], layouts: tuple[tuple[int, int], ...] = ()) -> PolicyBatch:
        observations, actions, log_probs, advantages, weights = tensors
        return PolicyBatch(observations, actions, log_probs, advantages, weights, layouts)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The fields of one transition each, in their order."""
        return self[:5]


class Examples(NamedTuple):
    """Labelled examples of every task: `support` to adapt to, `query` to be judged by."""

    support_inputs: Float[Tensor, "tasks support *input"]
    support_targets: Tensor
    """(tasks, support, output) for regression, (tasks, support) of class indices for classification."""
    query_inputs: Float[Tensor, "tasks query *input"]
    query_targets: Tensor

"""Episodes, batches of transitions for losses, and their memory layout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor


class Episodes(NamedTuple):
    """Episodes of all tasks. Entries with a False `mask` are padding and are zero."""

    observations: Shaped[Tensor, "tasks episodes steps observation"]
    """Floats, or bytes where a network reads images."""
    actions: Tensor
    """(tasks, episodes, steps, action) for continuous actions, (tasks, episodes, steps) for discrete ones."""
    log_probs: Float[Tensor, "tasks episodes steps"]
    rewards: Float[Tensor, "tasks episodes steps"]
    mask: Bool[Tensor, "tasks episodes steps"]
    successes: Bool[Tensor, "tasks episodes steps"] | None = None
    """Success reported by the environment at each step; None if it reports none."""

    def map(self, change: Callable[[Tensor], Tensor]) -> Episodes:
        """Apply a function to every tensor."""
        return Episodes._make(x if x is None else change(x) for x in self)

    @property
    def returns(self) -> Float[Tensor, "tasks episodes"]:
        """Undiscounted return of each episode; NaN for rows without an episode."""
        total = self.rewards.sum(-1)
        return total.masked_fill(~self.mask[..., 0], float("nan"))

    @property
    def transitions(self) -> int:
        """Number of transitions of all tasks."""
        return int(self.mask.sum())


class PolicyBatch(NamedTuple):
    """Transitions with advantages for policy-gradient losses; the `weights` of each task sum to one.

    The two middle axes are episodes and steps, or a single row of all valid transitions (see `flatten_valid`).
    """

    observations: Shaped[Tensor, "tasks episodes steps observation"]
    actions: Tensor
    log_probs: Float[Tensor, "tasks episodes steps"]
    advantages: Float[Tensor, "tasks episodes steps"]
    weights: Float[Tensor, "tasks episodes steps"]


def mean_returns(episodes: Episodes) -> Float[Tensor, " tasks"]:
    """Mean undiscounted return of each task's episodes."""
    return episodes.returns.nanmean(1)


def mean_discounted_returns(episodes: Episodes, gamma: float) -> Float[Tensor, " tasks"]:
    """Mean over each task's episodes of the discounted return, sum over t of gamma^t r_t."""
    steps = torch.arange(episodes.rewards.shape[-1], device=episodes.rewards.device)
    discounted = episodes.rewards @ gamma ** steps.to(episodes.rewards.dtype)
    return discounted.sum(1) / episodes.mask[..., 0].sum(1)


def success_rates(episodes: Episodes) -> Float[Tensor, " tasks"] | None:
    """Fraction of each task's episodes with success at any step; None if the environments report no success."""
    if episodes.successes is None:
        return None
    reached = (episodes.successes & episodes.mask).any(2)
    return reached.sum(1) / episodes.mask[..., 0].sum(1)


def padded(episodes: Episodes, number: int, steps: int) -> Episodes:
    """Pad with masked rows and steps to `number` episodes of `steps` steps."""
    tasks, have, long = episodes.mask.shape
    if (have, long) == (number, steps):
        return episodes

    def larger(x: Tensor) -> Tensor:
        room = x.new_zeros(tasks, number, steps, *x.shape[3:])
        room[:, :have, :long] = x
        return room

    return episodes.map(larger)


def with_successes(episodes: Episodes) -> Episodes:
    """Replace unknown successes by False."""
    known = episodes.successes is not None
    return episodes if known else episodes._replace(successes=torch.zeros_like(episodes.mask))


def zero_masked(episodes: Episodes) -> Episodes:
    """Set all entries with a False mask to zero."""

    def zeroed(x: Tensor) -> Tensor:
        hidden = ~episodes.mask
        return x.masked_fill(hidden.reshape(*hidden.shape, *[1] * (x.ndim - hidden.ndim)), 0)

    return episodes.map(zeroed)


def concatenate_rounds(rounds: Sequence[Episodes]) -> Episodes:
    """Concatenate the episodes of several rounds; shorter rounds are padded with masked steps."""
    if len(rounds) == 1:
        return rounds[0]
    steps = max(part.mask.shape[2] for part in rounds)
    if any(part.successes is not None for part in rounds):
        rounds = [with_successes(part) for part in rounds]
    fields = zip(*(padded(part, part.mask.shape[1], steps) for part in rounds), strict=True)
    return Episodes._make(None if parts[0] is None else torch.cat(parts, 1) for parts in fields)


def flatten_valid(batch: PolicyBatch, mask: Bool[Tensor, "tasks episodes steps"], longest: int) -> PolicyBatch:
    """Move the valid transitions of each task into one row (tasks, 1, longest, ...), if that saves at least a tenth.

    Most losses do not depend on the boundaries between episodes.

    Args:
        batch: Transitions by episode and step.
        mask: True for valid transitions.
        longest: Largest number of valid transitions of a task, over all ranks.
    """
    valid = mask.flatten(1)
    if longest > 0.9 * valid.shape[1]:
        return batch
    order = torch.argsort(valid.to(torch.int8), dim=1, descending=True, stable=True)[:, :longest]
    tasks = torch.arange(len(order), device=order.device)[:, None]
    return PolicyBatch._make(x.flatten(1, 2)[tasks, order].unsqueeze(1) for x in batch)

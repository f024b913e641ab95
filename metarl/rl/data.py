"""Episodes and the transitions that losses read, and how they are laid out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence

from metarl.core.ranks import all_reduce_max
from metarl.core.seed_axis import by_seed, seeds_axis


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


def mean_returns(episodes: Episodes) -> Float[Tensor, " tasks"]:
    """Mean undiscounted return of each task's episodes; those that ended early count with what they had."""
    return episodes.returns.nanmean(1)


def mean_discounted_returns(episodes: Episodes, gamma: float) -> Float[Tensor, " tasks"]:
    """Mean over each task's episodes of sum over t of gamma^t r_t, in the units of the rewards."""
    steps = torch.arange(episodes.rewards.shape[-1], device=episodes.rewards.device)
    discounted = episodes.rewards @ gamma ** steps.to(episodes.rewards.dtype)
    return discounted.sum(1) / episodes.mask[..., 0].sum(1)


def success_rates(episodes: Episodes) -> Float[Tensor, " tasks"] | None:
    """Share of each task's episodes that were successful at any of their steps; None where nothing is known of it."""
    if episodes.successes is None:
        return None
    reached = (episodes.successes & episodes.mask).any(2)
    return reached.sum(1) / episodes.mask[..., 0].sum(1)


def padded(episodes: Episodes, number: int, steps: int) -> Episodes:
    """The same with rows that hold no episode and steps beyond the end, up to `number` episodes of `steps` steps."""
    tasks, have, long = episodes.mask.shape
    if (have, long) == (number, steps):
        return episodes

    def larger(x: Tensor) -> Tensor:
        room = x.new_zeros(tasks, number, steps, *x.shape[3:])
        room[:, :have, :long] = x
        return room

    return episodes.each(larger)


def with_successes(episodes: Episodes) -> Episodes:
    """The same, where nothing is known of success without any."""
    known = episodes.successes is not None
    return episodes if known else episodes._replace(successes=torch.zeros_like(episodes.mask))


def zero_masked(episodes: Episodes) -> Episodes:
    """The same with zeros where the mask is False."""

    def zeroed(x: Tensor) -> Tensor:
        hidden = ~episodes.mask
        return x.masked_fill(hidden.reshape(*hidden.shape, *[1] * (x.ndim - hidden.ndim)), 0)

    return episodes.each(zeroed)


def concatenate_rounds(rounds: Sequence[Episodes]) -> Episodes:
    """The episodes of several rounds one after another; shorter ones get masked steps."""
    if len(rounds) == 1:
        return rounds[0]
    steps = max(part.mask.shape[2] for part in rounds)
    if any(part.successes is not None for part in rounds):
        rounds = [with_successes(part) for part in rounds]
    fields = zip(*(padded(part, part.mask.shape[1], steps) for part in rounds), strict=True)
    return Episodes._make(None if parts[0] is None else torch.cat(parts, 1) for parts in fields)


def flatten_valid(batch: PolicyBatch, mask: Bool[Tensor, "tasks episodes steps"], longest: int) -> PolicyBatch:
    """The valid transitions of each task as one row (tasks, 1, longest, ...), if that is a tenth shorter at least.

    `longest` is the largest number of valid transitions of a task. Most losses do not need to know where an episode
    began.
    """
    valid = mask.flatten(1)
    if longest > 0.9 * valid.shape[1]:
        return batch
    order = torch.argsort(valid.to(torch.int8), dim=1, descending=True, stable=True)[:, :longest]
    tasks = torch.arange(len(order), device=order.device)[:, None]
    return PolicyBatch.of(x.flatten(1, 2)[tasks, order].unsqueeze(1) for x in batch.tensors)


def flatten_valid_by_seed(
    batch: PolicyBatch, mask: Bool[Tensor, "tasks episodes steps"], transitions: Int[Tensor, " tasks"]
) -> PolicyBatch:
    """The same for the tasks of all ranks, or of each seed as in its own run: `thinned` counts by how they lie there.

    Seeds that lie in unlike shapes are brought into one row a task, and the shapes noted in `layouts`.
    """
    if not seeds_axis():
        return flatten_valid(batch, mask, *all_reduce_max(int(transitions.max())))
    parts = []
    for number, (own, longest) in enumerate(zip(by_seed(mask), by_seed(transitions).amax(1).tolist(), strict=True)):
        # Trailing rows and steps that none of its tasks uses are there for the other seeds.
        episodes, steps = int(own.any(2).any(0).sum()), int(own.any(1).any(0).sum())
        tasks = slice(number * len(own), (number + 1) * len(own))
        part = PolicyBatch.of(x[tasks, :episodes, :steps] for x in batch.tensors)
        parts.append(flatten_valid(part, own[:, :episodes, :steps], longest))
    shapes = [(part.weights.shape[1], part.weights.shape[2]) for part in parts]
    if len(set(shapes)) == 1:
        return PolicyBatch.of(torch.cat(fields) for fields in zip(*(part.tensors for part in parts), strict=True))
    width = max(episodes * steps for episodes, steps in shapes)

    def in_a_row(x: Tensor) -> Tensor:
        rows = x.flatten(1, 2)
        return pad(rows, (*[0, 0] * (rows.ndim - 2), 0, width - rows.shape[1])).unsqueeze(1)

    fields = zip(*(part.tensors for part in parts), strict=True)
    return PolicyBatch.of((torch.cat([in_a_row(x) for x in own]) for own in fields), tuple(shapes))


def subsample(batch: PolicyBatch, stride: int, fewest: int) -> PolicyBatch:
    """Every stride-th transition in one row a task; more where fewer than `fewest` would be left.

    The first one kept moves on by a step from episode to episode, so that all times are represented; the first
    transition of the first episode is always among them.
    """
    kept = []
    for episodes, steps in batch.layouts or [batch.weights.shape[1:3]]:
        place = torch.arange(episodes)[:, None] + torch.arange(steps)
        every = max(1, min(stride, place.numel() // fewest))
        kept.append((place % every == 0).flatten().nonzero().squeeze(1))
    if len(kept) == 1:
        rows = kept[0].to(batch.weights.device)
        return PolicyBatch.of(x.flatten(1, 2)[:, None, rows] for x in batch.tensors)
    return _kept_by_seed(batch, kept)


def _kept_by_seed(batch: PolicyBatch, kept: list[Tensor]) -> PolicyBatch:
    """The transitions that each seed keeps, with weights of zero where others keep more."""
    device = batch.weights.device
    rows = pad_sequence(kept, batch_first=True).to(device)
    real = torch.arange(rows.shape[1], device=device) < torch.tensor([len(own) for own in kept], device=device)[:, None]
    own = by_seed(torch.arange(len(batch.weights), device=device))[..., None]
    part = PolicyBatch.of(x.flatten(1, 2)[own, rows[:, None]].flatten(0, 1).unsqueeze(1) for x in batch.tensors)
    return part._replace(weights=(by_seed(part.weights) * real[:, None, None]).flatten(0, 1))

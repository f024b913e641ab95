"""How the transitions of a batch are laid out for the losses, and which of them are enough for the curvature."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence

from metarl.ranks import largest
from metarl.seeds_axis import by_seed, seeds_axis
from metarl.types import PolicyBatch


def packed(batch: PolicyBatch, mask: Bool[Tensor, "tasks episodes steps"], longest: int) -> PolicyBatch:
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


def packed_by_seed(
    batch: PolicyBatch, mask: Bool[Tensor, "tasks episodes steps"], transitions: Int[Tensor, " tasks"]
) -> PolicyBatch:
    """The same for the tasks of all ranks, or of each seed as in its own run: `thinned` counts by how they lie there.

    Seeds that lie in unlike shapes are brought into one row a task, and the shapes noted in `layouts`.
    """
    if not seeds_axis():
        return packed(batch, mask, *largest(int(transitions.max())))
    parts = []
    for number, (own, longest) in enumerate(zip(by_seed(mask), by_seed(transitions).amax(1).tolist(), strict=True)):
        # Trailing rows and steps that none of its tasks uses are there for the other seeds.
        episodes, steps = int(own.any(2).any(0).sum()), int(own.any(1).any(0).sum())
        tasks = slice(number * len(own), (number + 1) * len(own))
        part = PolicyBatch.of(x[tasks, :episodes, :steps] for x in batch.tensors)
        parts.append(packed(part, own[:, :episodes, :steps], longest))
    shapes = [(part.weights.shape[1], part.weights.shape[2]) for part in parts]
    if len(set(shapes)) == 1:
        return PolicyBatch.of(torch.cat(fields) for fields in zip(*(part.tensors for part in parts), strict=True))
    width = max(episodes * steps for episodes, steps in shapes)

    def in_a_row(x: Tensor) -> Tensor:
        rows = x.flatten(1, 2)
        return pad(rows, (*[0, 0] * (rows.ndim - 2), 0, width - rows.shape[1])).unsqueeze(1)

    fields = zip(*(part.tensors for part in parts), strict=True)
    return PolicyBatch.of((torch.cat([in_a_row(x) for x in own]) for own in fields), tuple(shapes))


def thinned(batch: PolicyBatch, stride: int, fewest: int) -> PolicyBatch:
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

"""Differentiable collectives over the meta-batch: broadcast theta to tasks, all-reduce gradients and means over ranks.

With a seed axis, sums and means run over the tasks of each seed, and every result has a leading axis of seeds.
Broadcast and sum are each other's transpose, so each is the derivative of the other. A rank differentiates only its own
tasks. The sum over ranks is part of the derivative of the broadcast: one all-reduce for all parameters together.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Num
from torch import Tensor

from metarl.core.params import Params, TaskParams
from metarl.core.ranks import Ranks, all_reduce_sum, current
from metarl.core.seed_axis import by_seed, seeds_axis, tasks_of_a_seed


def broadcast_to_tasks(theta: Params, tasks: int) -> TaskParams:
    """Repeat theta for every task of this rank, as views with a leading `tasks` axis.

    Gradients with respect to theta are summed over the tasks of all ranks.

    Args:
        theta: Named parameters; with a seed axis each has a leading axis of seeds.
        tasks: Number of this rank's tasks, over all seeds.

    Example:
        >>> broadcast_to_tasks({"weight": torch.ones(3)}, 2)["weight"].shape
        torch.Size([2, 3])
    """
    here = current()
    if here.size == 1:
        return {name: repeat_per_task(value, tasks) for name, value in theta.items()}
    return dict(zip(theta, _Spread.apply(here, tasks, *theta.values()), strict=True))  # type: ignore[no-untyped-call]


def shared_by_ranks(theta: Params) -> Params:
    """theta, for a loss that reads all tasks of this rank with one copy of it; gradients are summed over all ranks.

    Args:
        theta: Named parameters, without a seed axis.

    Example:
        >>> shared_by_ranks({"weight": torch.ones(3)})["weight"].shape
        torch.Size([3])
    """
    return {name: value[0] for name, value in broadcast_to_tasks(theta, 1).items()}


def repeat_per_task(value: Float[Tensor, "*shape"], tasks: int) -> Float[Tensor, " tasks *rest"]:
    """Repeat each seed's value, of shape (*seeds, *rest), for its tasks; gradients are summed over this rank's tasks.

    Args:
        value: A value of each seed; without a seed axis a single value.
        tasks: Number of this rank's tasks, over all seeds.
    """
    axis = seeds_axis()
    k = len(axis)
    return value.unsqueeze(k).expand(*axis, tasks_of_a_seed(tasks), *value.shape[k:]).flatten(0, k)


def mean_over_tasks(values: Float[Tensor, " tasks *rest"]) -> Tensor:
    """Mean over the tasks of all ranks, shape (*seeds, *rest); its gradient covers only this rank's tasks.

    Example:
        >>> mean_over_tasks(torch.tensor([1.0, 3.0]))
        tensor(2.)
    """
    here = current()
    return by_seed(values).mean(len(seeds_axis())) if here.size == 1 else _Mean.apply(here, values)  # type: ignore[no-untyped-call]


def sum_over_tasks(values: Num[Tensor, " tasks *rest"]) -> Tensor:
    """Sum over the tasks of all ranks, shape (*seeds, *rest), detached from the graph."""
    return current().sum(by_seed(values.detach()).sum(len(seeds_axis())))


def global_num_tasks(tasks: int) -> int:
    """Number of tasks of one seed over all ranks.

    Args:
        tasks: Number of this rank's tasks, over all seeds.
    """
    return all_reduce_sum(tasks_of_a_seed(tasks))


class _Spread(torch.autograd.Function):
    """Broadcast over tasks, whose derivative is a sum over the tasks of all ranks."""

    @staticmethod
    def forward(ctx: Any, here: Ranks, tasks: int, *values: Tensor) -> tuple[Tensor, ...]:
        ctx.here, ctx.tasks = here, tasks
        return tuple(value.expand(tasks, *value.shape) for value in values)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Any, ...]:
        return None, None, *_Add.apply(ctx.here, ctx.tasks, *slopes)  # type: ignore[no-untyped-call]


class _Add(torch.autograd.Function):
    """Sum over the tasks of all ranks, whose derivative is a broadcast over tasks."""

    @staticmethod
    def forward(ctx: Any, here: Ranks, tasks: int, *slopes: Tensor) -> tuple[Tensor, ...]:
        ctx.here, ctx.tasks = here, tasks
        added = here.sum(torch.cat([slope.sum(0).reshape(-1) for slope in slopes]))
        parts = added.split([slope[0].numel() for slope in slopes])
        return tuple(part.reshape(slope.shape[1:]) for part, slope in zip(parts, slopes, strict=True))

    @staticmethod
    def backward(ctx: Any, *tangents: Tensor) -> tuple[Any, ...]:
        return None, None, *_Spread.apply(ctx.here, ctx.tasks, *tangents)  # type: ignore[no-untyped-call]


class _Mean(torch.autograd.Function):
    """Mean over the tasks of all ranks."""

    @staticmethod
    def forward(ctx: Any, here: Ranks, values: Tensor) -> Tensor:
        own = values.sum(0)
        added = here.sum(torch.cat([own.reshape(-1), own.new_tensor([len(values)])]))
        ctx.own, ctx.everywhere = len(values), added[-1]
        return added[:-1].reshape(own.shape) / added[-1]

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[None, Tensor]:
        return None, (slope / ctx.everywhere).expand(ctx.own, *slope.shape)

"""Where tasks meet: theta is spread over the tasks, and what the tasks say of it is added up over all ranks.

Where several seeds are trained at once only the tasks of a seed meet, and every result has the seeds' axis in front.
Spreading and adding are each other's transpose, so one is the derivative of the other. Each rank differentiates its
own tasks alone; the sum over ranks happens where a gradient passes from the tasks to theta, once for all parameters.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from metarl.core.params import Params, TaskParams
from metarl.core.ranks import Ranks, all_reduce_sum, current
from metarl.core.seed_axis import by_seed, seeds_axis, tasks_of_a_seed


def broadcast_to_tasks(theta: Params, tasks: int) -> TaskParams:
    """The same parameters for every task of this rank, as views with a leading `tasks` axis.

    Their gradient with respect to theta is that of all ranks' tasks.
    """
    here = current()
    if here.size == 1:
        return {name: repeat_per_task(value, tasks) for name, value in theta.items()}
    return dict(zip(theta, _Spread.apply(here, tasks, *theta.values()), strict=True))  # type: ignore[no-untyped-call]


def repeat_per_task(value: Float[Tensor, "*seeds *rest"], tasks: int) -> Float[Tensor, " tasks *rest"]:
    """A value of each seed, repeated for its tasks; the gradient is that of this rank's tasks."""
    axis = seeds_axis()
    k = len(axis)
    return value.unsqueeze(k).expand(*axis, tasks_of_a_seed(tasks), *value.shape[k:]).flatten(0, k)


def mean_over_tasks(values: Float[Tensor, " tasks *rest"]) -> Tensor:
    """The mean over the leading axis, of all ranks; its gradient is that of this rank's part of it."""
    here = current()
    return by_seed(values).mean(len(seeds_axis())) if here.size == 1 else _Mean.apply(here, values)  # type: ignore[no-untyped-call]


def sum_over_tasks(values: Float[Tensor, " tasks *rest"]) -> Tensor:
    """The sum over the leading axis, of all ranks; not to be differentiated."""
    return current().sum(by_seed(values.detach()).sum(len(seeds_axis())))


def global_num_tasks(tasks: int) -> int:
    """The number of a seed's tasks of all ranks, given that of this one's tasks."""
    return all_reduce_sum(tasks_of_a_seed(tasks))


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, here: Ranks, tasks: int, *values: Tensor) -> tuple[Tensor, ...]:
        ctx.here, ctx.tasks = here, tasks
        return tuple(value.expand(tasks, *value.shape) for value in values)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Any, ...]:
        return None, None, *_Add.apply(ctx.here, ctx.tasks, *slopes)  # type: ignore[no-untyped-call]


class _Add(torch.autograd.Function):
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
    @staticmethod
    def forward(ctx: Any, here: Ranks, values: Tensor) -> Tensor:
        own = values.sum(0)
        added = here.sum(torch.cat([own.reshape(-1), own.new_tensor([len(values)])]))
        ctx.own, ctx.everywhere = len(values), added[-1]
        return added[:-1].reshape(own.shape) / added[-1]

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[None, Tensor]:
        return None, (slope / ctx.everywhere).expand(ctx.own, *slope.shape)

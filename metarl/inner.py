"""The inner loop: how parameters adapt to one task, for all tasks at once.

A loss maps (task parameters, data) to one value a task. Tasks share nothing, so the sum over tasks is
differentiated: each task's gradient is its own, where a mean would divide the learning rate by their number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from metarl.types import Params, TaskParams

Data = TypeVar("Data")
Loss = Callable[[TaskParams, Any], Tensor]


class InnerRule(Protocol):
    """One step of adaptation, given the gradient; `first_order` drops the gradient's own derivative."""

    @property
    def first_order(self) -> bool: ...

    def update(self, params: TaskParams, gradient: TaskParams, step: int) -> TaskParams: ...


@dataclass(frozen=True)
class GradientDescent:
    """params - lr * gradient, with another rate after the first step if one is given (Finn et al. 2017 halve it)."""

    lr: float
    later_lr: float | None = None
    first_order: bool = False

    def update(self, params: TaskParams, gradient: TaskParams, step: int) -> TaskParams:
        lr = self.lr if step == 0 or self.later_lr is None else self.later_lr
        return {name: value - lr * gradient[name] for name, value in params.items()}


def stack(theta: Params, tasks: int) -> TaskParams:
    """The same initialisation for every task, as a view with a leading `tasks` axis."""
    return {name: value.expand(tasks, *value.shape) for name, value in theta.items()}


def adapt_step(loss: Loss, params: TaskParams, support: Data, rule: InnerRule, step: int = 0) -> TaskParams:
    """One adaptation step of every task on its own support data; differentiable in `params`."""
    gradient = torch.func.grad(lambda p: loss(p, support).sum())(params)
    if rule.first_order:
        gradient = {name: value.detach() for name, value in gradient.items()}
    return rule.update(params, gradient, step)


def replay(loss: Loss, theta: Params, supports: Sequence[Data], rule: InnerRule, tasks: int) -> TaskParams:
    """The adapted parameters as one function of theta: the same steps on the same support data.

    Stands reverse-mode and forward-mode differentiation (Finn et al. 2017, algorithm 3, line 7 for any number
    of steps). With no supports it returns theta for every task.
    """
    params = stack(theta, tasks)
    for step, support in enumerate(supports):
        params = adapt_step(loss, params, support, rule, step)
    return params

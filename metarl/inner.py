"""The inner loop: how parameters adapt to one task, for all tasks at once.

A loss maps (task parameters, data) to one value a task. Tasks share nothing, so the sum over tasks is
differentiated: each task's gradient is its own, where a mean would divide the learning rate by their number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from metarl.errors import ConfigError
from metarl.types import Params, TaskParams

Data = TypeVar("Data")
Loss = Callable[[TaskParams, Any], Tensor]

RATE = "inner_lr."
"""Prefix of learned inner learning rates among the parameters."""


class InnerRule(Protocol):
    """How one adaptation step changes parameters; `first_order` drops the gradient's own derivative."""

    @property
    def first_order(self) -> bool: ...

    def adapted(self, params: TaskParams) -> list[str]:
        """Names of the parameters that adapt; the others stay as in theta."""
        ...

    def update(self, params: TaskParams, gradient: TaskParams, step: int) -> TaskParams:
        """New values of the adapted parameters, given all parameters and the gradient of the adapted ones."""
        ...


@dataclass(frozen=True)
class GradientDescent:
    """params - lr * gradient (Finn et al. 2017), in the variants that the literature names.

    `later_lr` is the rate after the first step, if it is another. `pattern` chooses what adapts: "head*" is ANIL
    (Raghu et al. 2020), "context" is CAVIA (Zintgraf et al. 2019). With learned rates (Meta-SGD, Li et al. 2017)
    the rates are parameters of theta themselves, named `inner_lr.<parameter>`, of the parameter's shape or scalars,
    and `lr` is where they start.
    """

    lr: float
    later_lr: float | None = None
    first_order: bool = False
    pattern: str = "*"

    def adapted(self, params: TaskParams) -> list[str]:
        return [name for name in params if not name.startswith(RATE) and fnmatchcase(name, self.pattern)]

    def update(self, params: TaskParams, gradient: TaskParams, step: int) -> TaskParams:
        fixed = self.lr if step == 0 or self.later_lr is None else self.later_lr
        factor = fixed / self.lr  # a smaller later rate scales learned rates as well

        def rate(name: str) -> Tensor | float:
            learned = params.get(RATE + name)
            if learned is None:
                return fixed
            # A scalar a layer is broadcast over the parameter's own axes.
            return factor * learned.reshape(*learned.shape, *[1] * (params[name].ndim - learned.ndim))

        return {name: params[name] - rate(name) * slope for name, slope in gradient.items()}


def add_learned_rates(theta: Params, rule: GradientDescent, kind: str) -> Params:
    """theta with a learning rate for every adapted parameter: "per-parameter" elementwise, "per-layer" one each.

    Raises ConfigError where nothing adapts.
    """
    names = rule.adapted(theta)
    if not names:
        known = ", ".join(theta)
        raise ConfigError(f"--inner.adapt = {rule.pattern}; expected a pattern that fits a parameter (valid: {known})")
    if kind == "none":
        return theta
    shape_of = {name: theta[name].shape if kind == "per-parameter" else () for name in names}
    first = next(iter(theta.values()))
    rates = {
        RATE + name: torch.full(shape, rule.lr, dtype=first.dtype, device=first.device)
        for name, shape in shape_of.items()
    }
    return theta | rates


def within_bounds(theta: Params, lr: float) -> Params:
    """theta with its learned rates within [0, 10 lr]: a negative rate climbs the loss, a huge one diverges."""
    return {name: value.clamp(0, 10 * lr) if name.startswith(RATE) else value for name, value in theta.items()}


def stack(theta: Params, tasks: int) -> TaskParams:
    """The same initialisation for every task, as a view with a leading `tasks` axis."""
    return {name: value.expand(tasks, *value.shape) for name, value in theta.items()}


def adapt_step(loss: Loss, params: TaskParams, support: Data, rule: InnerRule, step: int = 0) -> TaskParams:
    """One adaptation step of every task on its own support data; differentiable in `params`."""
    chosen = {name: params[name] for name in rule.adapted(params)}
    gradient = torch.func.grad(lambda p: loss(params | p, support).sum())(chosen)
    if rule.first_order:
        gradient = {name: value.detach() for name, value in gradient.items()}
    return params | rule.update(params, gradient, step)


def replay(loss: Loss, theta: Params, supports: Sequence[Data], rule: InnerRule, tasks: int) -> TaskParams:
    """The adapted parameters as one function of theta: the same steps on the same support data.

    Stands reverse-mode and forward-mode differentiation (Finn et al. 2017, algorithm 3, line 7 for any number
    of steps). With no supports it returns theta for every task.
    """
    params = stack(theta, tasks)
    for step, support in enumerate(supports):
        params = adapt_step(loss, params, support, rule, step)
    return params

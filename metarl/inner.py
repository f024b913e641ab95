"""The inner loop: how parameters adapt to one task, for all tasks at once.

A loss maps (task parameters, data) to one value a task. Tasks share nothing, so the sum over tasks is
differentiated: each task's gradient is its own, where a mean would divide the learning rate by their number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from metarl.errors import ConfigError
from metarl.reductions import mean_over_tasks, spread
from metarl.types import CONTEXT, MEMORY, STATISTICS, Params, TaskParams

Data = TypeVar("Data")
Loss = Callable[[TaskParams, Any], Tensor]

RATE = "inner_lr."
"""Prefix of learned inner learning rates among the parameters."""

SECOND, TAKEN = f"{MEMORY}second.", f"{MEMORY}steps"
"""Of `AdamDescent`: the prefix of the second moments that tasks begin with, and the steps that went into them."""


class Adapting(NamedTuple):
    """Where the inner loop of every task stands."""

    params: TaskParams
    step: int = 0
    """Steps taken so far."""
    memory: TaskParams = {}  # noqa: RUF012 (never changed in place)
    """What the rule carries from step to step, as an optimiser's moments; each with a leading `tasks` axis."""


class InnerRule(Protocol):
    """How one adaptation step changes parameters; `first_order` drops the gradient's own derivative."""

    @property
    def first_order(self) -> bool: ...

    def adapted(self, params: TaskParams) -> list[str]:
        """Names of the parameters that adapt; the others stay as in theta."""
        ...

    def update(self, at: Adapting, gradient: TaskParams) -> tuple[TaskParams, TaskParams]:
        """New values of the adapted parameters, given their gradient, and the rule's memory after the step."""
        ...

    def remembered(self, theta: Params, at: Adapting) -> Params:
        """The entries of theta that the next iteration's tasks begin with, given how far those of this one came."""
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
        fixed = (RATE, STATISTICS, MEMORY)
        return [name for name in params if not name.startswith(fixed) and fnmatchcase(name, self.pattern)]

    def remembering(self, theta: Params) -> Params:
        """An untrained theta with entries for what the rule is to remember, which here is nothing."""
        return theta

    def remembered(self, theta: Params, at: Adapting) -> Params:
        return {}

    def rate(self, name: str, at: Adapting) -> Tensor | float:
        """The rate of a parameter's next step, a number or a tensor that broadcasts over the parameter."""
        fixed = self.lr if at.step == 0 or self.later_lr is None else self.later_lr
        learned = at.params.get(RATE + name)
        if learned is None:
            return fixed
        # A smaller later rate scales learned rates as well; a scalar a layer is broadcast over the parameter's axes.
        return fixed / self.lr * learned.reshape(*learned.shape, *[1] * (at.params[name].ndim - learned.ndim))

    def update(self, at: Adapting, gradient: TaskParams) -> tuple[TaskParams, TaskParams]:
        return {name: at.params[name] - self.rate(name, at) * slope for name, slope in gradient.items()}, {}


@dataclass(frozen=True)
class AdamDescent(GradientDescent):
    """Adam without a first moment (beta1 = 0), the inner optimiser of Reptile's supervised experiments.

    The second moments are entries of theta, `inner_memory.*`: those of meta-training run on, and every task that is
    adapted to afterwards begins with them, as in the code of Nichol et al. (2018). There one task follows another; here
    the tasks of a meta-batch begin with the same second moments, and the mean of what they end with goes on.
    """

    beta2: float = 0.999

    def remembering(self, theta: Params) -> Params:
        second = {SECOND + name: torch.zeros_like(theta[name]) for name in self.adapted(theta)}
        return theta | second | {TAKEN: next(iter(theta.values())).new_zeros(())}

    def remembered(self, theta: Params, at: Adapting) -> Params:
        kept = {name: value.detach() for name, value in at.memory.items() if SECOND + name in theta}
        second = {SECOND + name: mean_over_tasks(value) for name, value in kept.items()}
        return second | {TAKEN: theta[TAKEN].detach() + at.step}

    def update(self, at: Adapting, gradient: TaskParams) -> tuple[TaskParams, TaskParams]:
        taken = at.params[TAKEN] + at.step + 1
        correction = -torch.expm1(taken * math.log(self.beta2))
        params, memory = {}, {}
        for name, slope in gradient.items():
            before = at.memory.get(name, at.params[SECOND + name])
            memory[name] = self.beta2 * before + (1 - self.beta2) * slope.square()
            mean_square = memory[name] / correction.reshape(-1, *[1] * (slope.ndim - 1))
            params[name] = at.params[name] - self.rate(name, at) * slope / (mean_square.sqrt() + 1e-8)
        return params, memory


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
    """The same initialisation for every task, as a view with a leading `tasks` axis.

    Context parameters start from zero for every task and are not learned, so no gradient reaches their start: one
    that was learned would be a bias of the layer that reads them (Zintgraf et al. 2019, section 3.2). Nor does one
    reach the observations' statistics, or an inner rule's memory.
    """
    fixed = [name for name in theta if name == CONTEXT or name.startswith((STATISTICS, MEMORY))]
    stacked = spread(theta, tasks)
    # Afterwards, for what several ranks spread is all recorded together.
    return stacked | {name: stacked[name].detach() for name in fixed}


def begin(theta: Params, tasks: int) -> Adapting:
    """Every task at the initialisation."""
    return Adapting(stack(theta, tasks))


def adapt_step(loss: Loss, at: Adapting, support: Data, rule: InnerRule) -> Adapting:
    """One adaptation step of every task on its own support data; differentiable in the parameters."""
    start = {name: value.detach() for name, value in at.params.items()} if rule.first_order else at.params
    chosen = {name: start[name] for name in rule.adapted(start)}
    gradient = torch.func.grad(lambda p: loss(start | p, support).sum())(chosen)
    adapted, memory = rule.update(at, gradient)
    return Adapting(at.params | adapted, at.step + 1, memory)


def replay(loss: Loss, theta: Params, supports: Sequence[Data], rule: InnerRule, tasks: int) -> TaskParams:
    """The adapted parameters as one function of theta: the same steps on the same support data.

    Stands reverse-mode and forward-mode differentiation (Finn et al. 2017, algorithm 3, line 7 for any number
    of steps). With no supports it returns theta for every task.
    """
    at = begin(theta, tasks)
    for support in supports:
        at = adapt_step(loss, at, support, rule)
    return at.params

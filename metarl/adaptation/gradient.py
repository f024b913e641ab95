"""Adaptation by gradient descent, in the variants that the literature names."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor

from metarl.adaptation.adapter import AdaptState, adapt_step, initial_state
from metarl.adaptation.problem import Collected, Problem
from metarl.config.run import AdaptationConfig
from metarl.config.validation import INNER_OPTIMISERS
from metarl.core.collectives import mean_over_tasks
from metarl.core.errors import ConfigError
from metarl.core.imports import import_attribute
from metarl.core.params import MEMORY, RATE, STATISTICS, Params, TaskParams
from metarl.core.prng import Key
from metarl.families.tasks import Tasks, number_of_tasks

SECOND, TAKEN = f"{MEMORY}second.", f"{MEMORY}steps"
"""Of `AdamDescent`: the prefix of the second moments that tasks begin with, and the steps that went into them."""


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
    learned_lr: str = "none"

    def adapted(self, params: TaskParams) -> list[str]:
        """Names of the parameters that the pattern chooses."""
        fixed = (RATE, STATISTICS, MEMORY)
        return [name for name in params if not name.startswith(fixed) and fnmatchcase(name, self.pattern)]

    def add_state(self, theta: Params) -> Params:
        """theta with a learning rate for each adapted parameter where rates are learned; subclasses add to this.

        Raises ConfigError where nothing adapts.
        """
        return add_learned_rates(theta, self, self.learned_lr)

    def initial(self, theta: Params, tasks: Tasks, key: Key) -> AdaptState:
        """Every task at theta."""
        return initial_state(theta, number_of_tasks(tasks))

    def policy(self, state: AdaptState) -> tuple[TaskParams, None]:
        """The parameters adapted so far, and no memory."""
        return state.params, None

    def observe(self, problem: Problem, state: AdaptState, collected: Collected) -> AdaptState:
        """One gradient step on the inner loss of the data."""
        after = adapt_step(problem.inner_loss, state, collected.data, self)
        return after._replace(used=state.used + collected.transitions)

    def carried(self, theta: Params, state: AdaptState) -> Params:
        """Nothing: each iteration's tasks start from theta alone."""
        return {}

    def close(self, state: AdaptState) -> None:
        """Nothing is held."""

    def facts(self) -> dict[str, Any]:
        """The rates of the first and of later steps."""
        return {
            "inner_lr": self.lr if self.learned_lr == "none" else "learned",
            "later_inner_lr": self.lr if self.later_lr is None else self.later_lr,
        }

    def rate(self, name: str, state: AdaptState) -> Tensor | float:
        """The rate of a parameter's next step, a number or a tensor that broadcasts over the parameter."""
        fixed = self.lr if state.step == 0 or self.later_lr is None else self.later_lr
        learned = state.params.get(RATE + name)
        if learned is None:
            return fixed
        # A smaller later rate scales learned rates as well; a scalar a layer is broadcast over the parameter's axes.
        return fixed / self.lr * learned.reshape(*learned.shape, *[1] * (state.params[name].ndim - learned.ndim))

    def update(self, state: AdaptState, gradient: TaskParams) -> tuple[TaskParams, TaskParams]:
        """params - rate * gradient, and no optimiser state."""
        return {name: state.params[name] - self.rate(name, state) * slope for name, slope in gradient.items()}, {}


@dataclass(frozen=True)
class AdamDescent(GradientDescent):
    """Adam without a first moment (beta1 = 0), the inner optimiser of Reptile's supervised experiments.

    The second moments are entries of theta, `inner_memory.*`: those of meta-training run on, and every task that is
    adapted to afterwards begins with them, as in the code of Nichol et al. (2018). There one task follows another; here
    the tasks of a meta-batch begin with the same second moments, and the mean of what they end with goes on.
    """

    beta2: float = 0.999

    def add_state(self, theta: Params) -> Params:
        theta = super().add_state(theta)
        second = {SECOND + name: torch.zeros_like(theta[name]) for name in self.adapted(theta)}
        return theta | second | {TAKEN: next(iter(theta.values())).new_zeros(())}

    def carried(self, theta: Params, state: AdaptState) -> Params:
        kept = {name: value.detach() for name, value in state.memory.items() if SECOND + name in theta}
        second = {SECOND + name: mean_over_tasks(value) for name, value in kept.items()}
        return second | {TAKEN: theta[TAKEN].detach() + state.step}

    def update(self, state: AdaptState, gradient: TaskParams) -> tuple[TaskParams, TaskParams]:
        taken = state.params[TAKEN] + state.step + 1
        correction = -torch.expm1(taken * math.log(self.beta2))
        params, memory = {}, {}
        for name, slope in gradient.items():
            before = state.memory.get(name, state.params[SECOND + name])
            memory[name] = self.beta2 * before + (1 - self.beta2) * slope.square()
            mean_square = memory[name] / correction.reshape(-1, *[1] * (slope.ndim - 1))
            params[name] = state.params[name] - self.rate(name, state) * slope / (mean_square.sqrt() + 1e-8)
        return params, memory


def add_learned_rates(theta: Params, adapter: GradientDescent, kind: str) -> Params:
    """theta with a learning rate for every adapted parameter: "per-parameter" elementwise, "per-layer" one each.

    Raises ConfigError where nothing adapts.
    """
    names = adapter.adapted(theta)
    if not names:
        known = ", ".join(theta)
        raise ConfigError(
            f"--inner.adapt = {adapter.pattern}; expected a pattern that fits a parameter (valid: {known})"
        )
    if kind == "none":
        return theta
    shape_of = {name: theta[name].shape if kind == "per-parameter" else () for name in names}
    first = next(iter(theta.values()))
    rates = {
        RATE + name: torch.full(shape, adapter.lr, dtype=first.dtype, device=first.device)
        for name, shape in shape_of.items()
    }
    return theta | rates


def within_bounds(theta: Params, lr: float) -> Params:
    """theta with its learned rates within [0, 10 lr]: a negative rate climbs the loss, a huge one diverges."""
    return {name: value.clamp(0, 10 * lr) if name.startswith(RATE) else value for name, value in theta.items()}


GRADIENT_ADAPTERS: dict[str, type[GradientDescent]] = dict(
    zip(INNER_OPTIMISERS, (GradientDescent, AdamDescent), strict=True)
)


def gradient_adapter(
    inner: AdaptationConfig, lr: float | None = None, later_lr: float | None = None
) -> GradientDescent:
    """The adapter of an inner loop's options; a new `lr` alone holds throughout.

    Raises ConfigError for a new lr where the rates were learned, and for a rule that is not one.
    """
    if lr is not None and inner.learned_lr != "none":
        raise ConfigError(
            f"--inner-lr = {lr}; the rates of this run were learned (--inner.learned-lr), so leave it out"
        )
    pattern = {"all": "*", "head": "head.*"}.get(inner.adapt, inner.adapt)
    if lr is None:
        lr, later_lr = inner.lr, later_lr or inner.later_lr
    return _adapter_class(inner.optimiser)(lr, later_lr, inner.first_order, pattern, inner.learned_lr)


def _adapter_class(name: str) -> type[GradientDescent]:
    if name in GRADIENT_ADAPTERS:
        return GRADIENT_ADAPTERS[name]
    adapter = import_attribute(name, f"--inner.optimiser = {name}", ConfigError)
    if not (isinstance(adapter, type) and issubclass(adapter, GradientDescent)):
        raise ConfigError(
            f"--inner.optimiser = {name}; expected a class that extends metarl.adaptation.GradientDescent"
        )
    return adapter

"""Adaptation by gradient descent and its published variants."""

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
"""Entries of theta of `AdamDescent`: prefix of the initial second moments, and the number of steps behind them."""


@dataclass(frozen=True)
class GradientDescent:
    """Gradient descent: params - lr * gradient (MAML, Finn et al. 2017, algorithm 1, line 6).

    With learned learning rates (Meta-SGD, Li et al. 2017) theta has an entry `inner_lr.<parameter>` for each adapted
    parameter. The paper learns one rate per element; "per-layer" learns one per parameter tensor.

    Args:
        lr: Learning rate; the initial value of learned rates.
        later_lr: Learning rate after the first step (default: `lr`).
        first_order: Whether the gradient counts as a constant (first-order MAML).
        pattern: Names of the parameters that adapt, as a shell pattern: "head*" is ANIL (Raghu et al. 2020), "context"
            is CAVIA (Zintgraf et al. 2019).
        learned_lr: "none", "per-layer" or "per-parameter".
        checkpointing: Whether a backward pass computes each step again, in place of keeping its graph.

    Example:
        >>> state = AdaptState({"x": torch.tensor([[1.0], [2.0]])})
        >>> GradientDescent(lr=0.5).update(state, {"x": torch.ones(2, 1)})[0]["x"]
        tensor([[0.5000],
                [1.5000]])
    """

    lr: float
    later_lr: float | None = None
    first_order: bool = False
    pattern: str = "*"
    learned_lr: str = "none"
    checkpointing: bool = False

    def adapted(self, params: TaskParams) -> list[str]:
        """Names of the parameters that match the pattern."""
        fixed = (RATE, STATISTICS, MEMORY)
        return [name for name in params if not name.startswith(fixed) and fnmatchcase(name, self.pattern)]

    def add_state(self, theta: Params) -> Params:
        """Add learned learning rates to theta, if rates are learned; subclasses may add further entries.

        Raises:
            ConfigError: No parameter matches the pattern.
        """
        return add_learned_rates(theta, self, self.learned_lr)

    def initial(self, theta: Params, tasks: Tasks, key: Key) -> AdaptState:
        """State in which every task has the parameters of theta."""
        return initial_state(theta, number_of_tasks(tasks))

    def policy(self, state: AdaptState) -> tuple[TaskParams, None]:
        """The adapted parameters, and no memory."""
        return state.params, None

    def observe(self, problem: Problem, state: AdaptState, collected: Collected) -> AdaptState:
        """One gradient step on the inner loss of the collected data."""
        after = adapt_step(problem.inner_loss, state, collected.data, self)
        return after._replace(used=state.used + collected.transitions)

    def carried(self, theta: Params, state: AdaptState) -> Params:
        """No entries: the tasks of each iteration start from theta alone."""
        return {}

    def close(self, state: AdaptState) -> None:
        """No-op: a state holds no resources."""

    def facts(self) -> dict[str, Any]:
        """The learning rates of the first and of later steps."""
        return {
            "inner_lr": self.lr if self.learned_lr == "none" else "learned",
            "later_inner_lr": self.lr if self.later_lr is None else self.later_lr,
        }

    def rate(self, name: str, state: AdaptState) -> Tensor | float:
        """Learning rate of a parameter's next step, a number or a tensor that broadcasts against the parameter."""
        fixed = self.lr if state.step == 0 or self.later_lr is None else self.later_lr
        learned = state.params.get(RATE + name)
        if learned is None:
            return fixed
        # The ratio of later to first rate scales learned rates too. A rate per layer broadcasts over the parameter.
        return fixed / self.lr * learned.reshape(*learned.shape, *[1] * (state.params[name].ndim - learned.ndim))

    def update(self, state: AdaptState, gradient: TaskParams) -> tuple[TaskParams, TaskParams]:
        """params - rate * gradient, without optimiser state."""
        return {name: state.params[name] - self.rate(name, state) * slope for name, slope in gradient.items()}, {}


@dataclass(frozen=True)
class AdamDescent(GradientDescent):
    """Adam without a first moment (beta1 = 0): the inner optimiser of Reptile's supervised experiments.

    The second moments are entries of theta, `inner_memory.*`. They persist over meta-training and are the initial
    moments of held-out tasks, as in the code of Nichol et al. (2018). That code adapts to one task after another; here
    the tasks of a meta-batch start with the same moments, and the mean of their final moments is kept.

    Args:
        beta2: Decay of the second moment.
    """

    beta2: float = 0.999

    def add_state(self, theta: Params) -> Params:
        """Add learned rates and second moments of zero to theta."""
        theta = super().add_state(theta)
        second = {SECOND + name: torch.zeros_like(theta[name]) for name in self.adapted(theta)}
        return theta | second | {TAKEN: next(iter(theta.values())).new_zeros(())}

    def carried(self, theta: Params, state: AdaptState) -> Params:
        """Mean over tasks of the final second moments, and the number of steps."""
        kept = {name: value.detach() for name, value in state.memory.items() if SECOND + name in theta}
        second = {SECOND + name: mean_over_tasks(value) for name, value in kept.items()}
        return second | {TAKEN: theta[TAKEN].detach() + state.step}

    def update(self, state: AdaptState, gradient: TaskParams) -> tuple[TaskParams, TaskParams]:
        """One step of Adam with beta1 = 0 (Kingma and Ba 2015, algorithm 1), and the new second moments."""
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
    """Add a learning rate for every adapted parameter to theta.

    Args:
        theta: The initialisation.
        adapter: Chooses the parameters and the initial rate.
        kind: "per-parameter" for one rate per element, "per-layer" for one per tensor, "none" for no rates.

    Raises:
        ConfigError: No parameter matches the adapter's pattern.
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
    """Clip learned learning rates to [0, 10 lr]: a negative rate ascends the loss, and a very large one diverges.

    Args:
        theta: The initialisation.
        lr: The initial learning rate.
    """
    return {name: value.clamp(0, 10 * lr) if name.startswith(RATE) else value for name, value in theta.items()}


GRADIENT_ADAPTERS: dict[str, type[GradientDescent]] = dict(
    zip(INNER_OPTIMISERS, (GradientDescent, AdamDescent), strict=True)
)


def gradient_adapter(
    inner: AdaptationConfig, lr: float | None = None, later_lr: float | None = None
) -> GradientDescent:
    """Build the adapter of an inner loop's options.

    Args:
        inner: Options of the inner loop.
        lr: Replaces the configured learning rate of all steps.
        later_lr: Replaces the learning rate after the first step.

    Raises:
        ConfigError: `lr` is given although the rates were learned, or `inner.optimiser` names no gradient adapter.

    Example:
        >>> gradient_adapter(AdaptationConfig(lr=0.2, adapt="head"))
        GradientDescent(lr=0.2, later_lr=None, first_order=False, pattern='head.*', learned_lr='none',
        checkpointing=False)
    """
    if lr is not None and inner.learned_lr != "none":
        raise ConfigError(
            f"--inner-lr = {lr}; the rates of this run were learned (--inner.learned-lr), so leave it out"
        )
    pattern = {"all": "*", "head": "head.*"}.get(inner.adapt, inner.adapt)
    if lr is None:
        lr, later_lr = inner.lr, later_lr or inner.later_lr
    adapter = _adapter_class(inner.optimiser)
    return adapter(lr, later_lr, inner.first_order, pattern, inner.learned_lr, inner.checkpointing)


def _adapter_class(name: str) -> type[GradientDescent]:
    if name in GRADIENT_ADAPTERS:
        return GRADIENT_ADAPTERS[name]
    adapter = import_attribute(name, f"--inner.optimiser = {name}", ConfigError)
    if not (isinstance(adapter, type) and issubclass(adapter, GradientDescent)):
        raise ConfigError(
            f"--inner.optimiser = {name}; expected a class that extends metarl.adaptation.GradientDescent"
        )
    return adapter

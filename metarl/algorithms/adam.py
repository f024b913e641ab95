"""Adam as an outer optimiser, on dictionaries of tensors."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from metarl.config.algorithms import AdamConfig
from metarl.config.schedules import ScheduleOptions, rate_factor
from metarl.core.params import Params, State


class AdamState(NamedTuple):
    """First and second moments of every parameter, and the number of steps taken.

    Example:
        >>> state = AdamState.zero({"x": torch.ones(2)})
        >>> sorted(state.to_params())
        ['first.x', 'second.x', 'steps']
    """

    first: Params
    second: Params
    steps: Tensor

    @staticmethod
    def zero(theta: Params) -> AdamState:
        """Moments of zero, after no steps."""
        first, second = ({name: torch.zeros_like(value) for name, value in theta.items()} for _ in range(2))
        return AdamState(first, second, torch.zeros((), dtype=torch.int64))

    def to_params(self) -> Params:
        """Flatten to one dictionary of tensors, for a checkpoint."""
        first = {f"first.{name}": value for name, value in self.first.items()}
        second = {f"second.{name}": value for name, value in self.second.items()}
        return {**first, **second, "steps": self.steps}

    @staticmethod
    def from_params(params: Params, theta: Params) -> AdamState:
        """The inverse of `to_params`, with the names of theta."""
        return AdamState(
            {name: params[f"first.{name}"] for name in theta},
            {name: params[f"second.{name}"] for name in theta},
            params["steps"],
        )


def adam_state(theta: Params) -> State:
    """Initial state of an outer update by Adam: theta, and moments of zero."""
    return {"theta": theta, "optimiser": AdamState.zero(theta).to_params()}


def adam_step(
    theta: Params, gradient: Params, state: AdamState, config: AdamConfig, factor: float
) -> tuple[Params, AdamState]:
    """One step of Adam (Kingma and Ba 2015, algorithm 1).

    Args:
        theta: The parameters.
        gradient: Their gradient.
        state: Moments before the step.
        config: Learning rate and decays.
        factor: Factor of the learning rate.

    Returns:
        The new parameters and moments.

    Example:
        >>> theta = {"x": torch.tensor([1.0])}
        >>> moved, _ = adam_step(theta, {"x": torch.tensor([5.0])}, AdamState.zero(theta), AdamConfig(lr=0.1), 1.0)
        >>> moved["x"]
        tensor([0.9000])
    """
    steps = state.steps + 1
    taken = int(steps.max())  # all seeds of a batch have taken equally many steps
    first = {n: config.beta1 * state.first[n] + (1 - config.beta1) * g for n, g in gradient.items()}
    second = {n: config.beta2 * state.second[n] + (1 - config.beta2) * g.square() for n, g in gradient.items()}
    lr = factor * config.lr / (1 - config.beta1**taken)
    correction = (1 - config.beta2**taken) ** 0.5
    moved = {n: value - lr * first[n] / (second[n].sqrt() / correction + 1e-8) for n, value in theta.items()}
    return moved, AdamState(first, second, steps)


def scheduled(options: ScheduleOptions, progress: float, iterations: int) -> float:
    """Factor of a learning rate by its schedule.

    Args:
        options: The schedule.
        progress: Fraction of all iterations that are completed, as `meta_step` gets it.
        iterations: The number of all iterations.

    Example:
        >>> scheduled(AdamConfig(), 0.25, 100)
        0.75
    """
    return rate_factor(options, round(progress * iterations), iterations)

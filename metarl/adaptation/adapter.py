"""How parameters adapt to one task, for all tasks at once: the contract, and the gradient steps of the inner loop.

A loss maps (task parameters, data) to one value a task. Tasks share nothing, so the sum over tasks is
differentiated: each task's gradient is its own, where a mean would divide the learning rate by their number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from jaxtyping import Int
from torch import Tensor

from metarl.adaptation.problem import Collected, Problem
from metarl.core.collectives import broadcast_to_tasks
from metarl.core.params import CONTEXT, MEMORY, STATISTICS, Params, TaskParams
from metarl.core.prng import Key
from metarl.families.tasks import Tasks

Loss = Callable[[TaskParams, Any], Tensor]
"""A function of task parameters and data with one value a task, shape (tasks,)."""


class AdaptState(NamedTuple):
    """Where the adaptation of every task stands."""

    params: TaskParams
    step: int = 0
    """Steps taken so far."""
    memory: Any = {}  # noqa: RUF012 (never changed in place)
    """Carried from step to step beside the parameters: an optimiser's moments, a policy's memory, a posterior."""
    used: Int[Tensor, " tasks"] | int = 0
    """Data that each task has adapted to so far, in the problem's unit (environment steps)."""


class Adapter(Protocol):
    """How a model adapts to tasks: by gradient steps, by memory, by inference, or by another library's `learn`."""

    def add_state(self, theta: Params) -> Params:
        """An untrained theta with the entries that the adapter itself keeps in it."""
        ...

    def initial(self, theta: Params, tasks: Tasks, key: Key) -> AdaptState:
        """Every task before any data."""
        ...

    def policy(self, state: AdaptState) -> tuple[TaskParams, Any]:
        """Parameters and memory to act with."""
        ...

    def observe(self, problem: Problem, state: AdaptState, collected: Collected) -> AdaptState:
        """The state after one step of adaptation to what was collected."""
        ...

    def carried(self, theta: Params, state: AdaptState) -> Params:
        """Entries of theta that the next meta-iteration starts with, given how the tasks of this one ended."""
        ...

    def close(self, state: AdaptState) -> None:
        """Release what a state holds."""
        ...

    def facts(self) -> dict[str, Any]:
        """Entries of a result about the adapter, such as its rates."""
        ...


class GradientAdapter(Adapter, Protocol):
    """An adapter by gradient steps; `first_order` drops the gradient's own derivative."""

    @property
    def first_order(self) -> bool: ...

    def adapted(self, params: TaskParams) -> list[str]:
        """Names of the parameters that adapt; the others stay as in theta."""
        ...

    def update(self, state: AdaptState, gradient: TaskParams) -> tuple[TaskParams, TaskParams]:
        """New values of the adapted parameters, given their gradient, and the optimiser's state after the step."""
        ...


def stack(theta: Params, tasks: int) -> TaskParams:
    """The same initialisation for every task, as a view with a leading `tasks` axis.

    Context parameters start from zero for every task and are not learned, so no gradient reaches their start: a learned
    start would be a bias of the layer that reads them (Zintgraf et al. 2019, section 3.2). No gradient reaches the
    observations' statistics or an adapter's own entries either.
    """
    fixed = [name for name in theta if name == CONTEXT or name.startswith((STATISTICS, MEMORY))]
    stacked = broadcast_to_tasks(theta, tasks)
    # Detached afterwards: across ranks all parameters are broadcast by one differentiable function.
    return stacked | {name: stacked[name].detach() for name in fixed}


def initial_state(theta: Params, tasks: int) -> AdaptState:
    """Every task at the initialisation."""
    return AdaptState(stack(theta, tasks))


def adapt_step(loss: Loss, state: AdaptState, support: Any, adapter: GradientAdapter) -> AdaptState:
    """One gradient step of every task on its own support data; differentiable in the parameters.

    Args:
        loss: The inner loss, a value a task.
        state: Where the tasks stand.
        support: The data that the loss takes.
        adapter: Chooses what adapts and how far.
    """
    start = {name: value.detach() for name, value in state.params.items()} if adapter.first_order else state.params
    chosen = {name: start[name] for name in adapter.adapted(start)}
    gradient = torch.func.grad(lambda p: loss(start | p, support).sum())(chosen)
    adapted, memory = adapter.update(state, gradient)
    return AdaptState(state.params | adapted, state.step + 1, memory, state.used)


def replay_steps(
    loss: Loss, theta: Params, supports: Sequence[Any], adapter: GradientAdapter, tasks: int
) -> Iterator[AdaptState]:
    """The states of adaptation as functions of theta: before the first support, and after each of them.

    Stands reverse-mode and forward-mode differentiation (Finn et al. 2017, algorithm 3, line 7 for any number
    of steps).
    """
    state = initial_state(theta, tasks)
    yield state
    for support in supports:
        state = adapt_step(loss, state, support, adapter)
        yield state


def replay(loss: Loss, theta: Params, supports: Sequence[Any], adapter: GradientAdapter, tasks: int) -> TaskParams:
    """The adapted parameters as one function of theta; with no supports, theta for every task."""
    *_, last = replay_steps(loss, theta, supports, adapter, tasks)
    return last.params

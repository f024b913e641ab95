"""The contract of adapters, and the gradient step of the inner loop, for all tasks at once.

A loss maps (task parameters, data) to one value per task. The inner loop differentiates the sum over tasks: tasks share
no parameters, so each task gets its own gradient, whereas a mean would divide it by the number of tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from jaxtyping import Int
from torch import Tensor

from metarl.adaptation.problem import Collected, Problem
from metarl.adaptation.recompute import recomputed
from metarl.core.collectives import broadcast_to_tasks
from metarl.core.params import CONTEXT, MEMORY, STATISTICS, Params, TaskParams
from metarl.core.prng import Key
from metarl.families.tasks import Tasks

Loss = Callable[[TaskParams, Any], Tensor]
"""A function of task parameters and data with one value per task, shape (tasks,)."""


class AdaptState(NamedTuple):
    """State of the adaptation of every task."""

    params: TaskParams
    step: int = 0
    """Number of adaptation steps taken."""
    memory: Any = {}  # noqa: RUF012 (never changed in place)
    """State other than parameters: an optimiser's moments, a policy's memory, a posterior."""
    used: Int[Tensor, " tasks"] | int = 0
    """Amount of data that each task has adapted to, in the problem's unit (environment steps)."""


class Adapter(Protocol):
    """Protocol of a model's adaptation: by gradient steps, by memory, by inference, or by another library's `learn`."""

    def add_state(self, theta: Params) -> Params:
        """Add the adapter's own entries to an untrained theta."""
        ...

    def initial(self, theta: Params, tasks: Tasks, key: Key) -> AdaptState:
        """State of every task before any data.

        Args:
            theta: The initialisation.
            tasks: The tasks to adapt to.
            key: Position of the adapter's random numbers.
        """
        ...

    def policy(self, state: AdaptState) -> tuple[TaskParams, Any]:
        """Parameters and memory with which data is collected."""
        ...

    def observe(self, problem: Problem, state: AdaptState, collected: Collected) -> AdaptState:
        """State after one adaptation step.

        Args:
            problem: Provides the inner loss.
            state: The state with which the data was collected.
            collected: The data.
        """
        ...

    def carried(self, theta: Params, state: AdaptState) -> Params:
        """Entries of theta for the next meta-iteration, as a function of the final states of this one."""
        ...

    def close(self, state: AdaptState) -> None:
        """Release resources of a state."""
        ...

    def facts(self) -> dict[str, Any]:
        """Entries about the adapter in the result of an evaluation, such as its learning rates."""
        ...


class GradientAdapter(Adapter, Protocol):
    """Protocol of an adapter by gradient steps."""

    @property
    def first_order(self) -> bool:
        """Whether the gradient counts as a constant, so that no second derivatives are taken."""
        ...

    @property
    def checkpointing(self) -> bool:
        """Whether a step is computed again in the backward pass, in place of keeping its graph."""
        ...

    def adapted(self, params: TaskParams) -> list[str]:
        """Names of the parameters that adapt; the others keep their values in theta."""
        ...

    def update(self, state: AdaptState, gradient: TaskParams) -> tuple[TaskParams, TaskParams]:
        """One optimiser step.

        Args:
            state: The state before the step.
            gradient: Gradient of the inner loss with respect to the adapted parameters.

        Returns:
            New values of the adapted parameters, and the optimiser's state.
        """
        ...


def stack(theta: Params, tasks: int) -> TaskParams:
    """Repeat the initialisation for every task, as views with a leading `tasks` axis.

    Context parameters start at zero for every task and are not learned, so their start is detached; a learned start
    would be equivalent to a bias of the first layer (Zintgraf et al. 2019, section 3.2). Observation statistics and an
    adapter's own entries are detached too.

    Args:
        theta: The initialisation.
        tasks: Number of tasks.

    Example:
        >>> stack({"weight": torch.zeros(3)}, 2)["weight"].shape
        torch.Size([2, 3])
    """
    fixed = [name for name in theta if name == CONTEXT or name.startswith((STATISTICS, MEMORY))]
    stacked = broadcast_to_tasks(theta, tasks)
    # Detached afterwards, since a single differentiable function broadcasts all parameters across ranks.
    return stacked | {name: stacked[name].detach() for name in fixed}


def initial_state(theta: Params, tasks: int) -> AdaptState:
    """State in which every task has the parameters of theta."""
    return AdaptState(stack(theta, tasks))


def adapt_step(loss: Loss, state: AdaptState, support: Any, adapter: GradientAdapter) -> AdaptState:
    """One gradient step of every task on its own support data; differentiable in the parameters.

    Args:
        loss: The inner loss, one value per task.
        state: The state before the step.
        support: The data of the loss.
        adapter: Chooses the parameters that adapt and computes the update.

    Example:
        >>> from metarl.adaptation import GradientDescent
        >>> state = AdaptState({"x": torch.tensor([[1.0], [2.0]])})
        >>> square = lambda params, data: (params["x"] ** 2).sum(1)
        >>> adapt_step(square, state, None, GradientDescent(lr=0.25)).params["x"]
        tensor([[0.5000],
                [1.0000]])
    """

    def updated(params: TaskParams, memory: TaskParams) -> tuple[TaskParams, TaskParams]:
        start = {name: value.detach() for name, value in params.items()} if adapter.first_order else params
        chosen = {name: start[name] for name in adapter.adapted(start)}
        gradient = torch.func.grad(lambda p: loss(start | p, support).sum())(chosen)
        return adapter.update(state._replace(params=params, memory=memory), gradient)

    # The graph of a first-order step holds parameters alone, so it is kept.
    when = adapter.checkpointing and not adapter.first_order
    adapted, memory = recomputed(updated, state.params, state.memory, when=when)
    return AdaptState(state.params | adapted, state.step + 1, memory, state.used)


def replay_steps(
    loss: Loss, theta: Params, supports: Sequence[Any], adapter: GradientAdapter, tasks: int
) -> Iterator[AdaptState]:
    """Repeat adaptation on recorded support data, as differentiable functions of theta.

    This is algorithm 3, line 7 of Finn et al. (2017), for any number of steps. The states support reverse-mode
    differentiation of any order, and forward-mode differentiation unless the adapter uses checkpointing.

    Args:
        loss: The inner loss, one value per task.
        theta: The initialisation.
        supports: The data of each step.
        adapter: Chooses the parameters that adapt and computes the updates.
        tasks: Number of tasks.

    Yields:
        The state before the first step and after each step.
    """
    state = initial_state(theta, tasks)
    yield state
    for support in supports:
        state = adapt_step(loss, state, support, adapter)
        yield state


def replay(loss: Loss, theta: Params, supports: Sequence[Any], adapter: GradientAdapter, tasks: int) -> TaskParams:
    """Adapted parameters as a differentiable function of theta: the last state of `replay_steps`.

    Args:
        loss: The inner loss, one value per task.
        theta: The initialisation.
        supports: The data of each step; without any the result is theta for every task.
        adapter: Chooses the parameters that adapt and computes the updates.
        tasks: Number of tasks.
    """
    *_, last = replay_steps(loss, theta, supports, adapter, tasks)
    return last.params

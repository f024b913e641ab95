"""The adaptation loop: collect data with the current parameters, adapt to it, repeat."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from metarl.adaptation.adapter import Adapter, AdaptState
from metarl.adaptation.problem import Collected, Problem
from metarl.core.collectives import mean_over_tasks, sum_over_tasks
from metarl.core.params import Params, TaskParams
from metarl.core.prng import Key
from metarl.core.timing import Phases
from metarl.families.tasks import Tasks


def adapt(
    problem: Problem,
    theta: Params,
    tasks: Tasks,
    key: Key,
    adapter: Adapter,
    steps: int,
    *,
    query: bool = True,
    phase: Phases | None = None,
) -> Iterator[tuple[AdaptState, Collected | None]]:
    """Adapt theta to every task; the data of each step is collected with the parameters before it.

    If theta requires gradients, autograd records the steps, and the parameters of later states can be differentiated.

    Args:
        problem: Collects the data.
        theta: The initialisation.
        tasks: The meta-batch.
        key: Position of the random numbers; step k collects at `key.at_step(k)`.
        adapter: The adaptation method.
        steps: Number of adaptation steps.
        query: Whether data is also collected after the last step.
        phase: Clock of the phases "collect" and "adapt".

    Yields:
        `steps` + 1 pairs of a state and the data that was collected with it; without `query` the last has None.
    """
    phase = phase or Phases()
    state = adapter.initial(theta, tasks, key)
    try:
        for step in range(steps + 1):
            if step == steps and not query:
                yield state, None
                return
            with phase("collect"), torch.no_grad():
                params, memory = adapter.policy(state)
                collected = problem.collect(params, tasks, key.at_step(step), memory)
            yield state, collected
            if step < steps:
                with phase("adapt"):
                    state = adapter.observe(problem, state, collected)
    finally:
        adapter.close(state)


class Adaptation(NamedTuple):
    """Data and result of the adaptation of one meta-iteration, for an outer update."""

    params: TaskParams
    """Parameters of each task after the last step."""
    supports: list[Any]
    """The data of each step."""
    query: Any
    """Data collected with `params`; None if none was requested."""
    returns: list[Tensor | None]
    """Mean performance before the first and after each step; None after the last step without query data."""
    transitions: Tensor
    """Number of transitions of all tasks in all steps. With a seed axis, returns and transitions are per seed."""
    objective: Tensor
    """Objective of the last collected data, for each task (see `Collected`)."""
    successes: list[Tensor | None]
    """Mean success rates at the same points; None if the environments do not report success."""
    observed: Tensor | None
    """Moments of all observations of all tasks; None if the policy keeps no statistics of them."""
    carried: Params
    """Entries of theta that the adapter keeps from iteration to iteration; an outer update adds them to its own."""

    def metrics(self) -> dict[str, Any]:
        """Metrics of the data, which every outer update reports."""
        known = {"success": self.successes} if any(value is not None for value in self.successes) else {}
        seen = {} if self.observed is None else {"observed": self.observed}
        return {"return": self.returns, **known, **seen, "transitions": self.transitions}


def collect_adaptation(
    problem: Problem,
    theta: Params,
    tasks: Tasks,
    key: Key,
    adapter: Adapter,
    steps: int,
    phase: Phases,
    *,
    query: bool = True,
) -> Adaptation:
    """Run `adapt` to its end and gather the data and averages for an outer update.

    Args:
        problem: Collects the data.
        theta: The initialisation.
        tasks: The meta-batch.
        key: Position of the random numbers; step k collects at `key.at(k)`.
        adapter: The adaptation method.
        steps: Number of adaptation steps.
        phase: Clock of the phases "collect" and "adapt".
        query: Whether data is also collected after the last step.
    """
    gathered: list[Collected] = []
    returns: list[Tensor | None] = []
    successes: list[Tensor | None] = []
    observed: Tensor | None = None
    for state, collected in adapt(problem, theta, tasks, key, adapter, steps, query=query, phase=phase):
        end = state
        if collected is None:
            returns.append(None)
            successes.append(None)
            continue
        with phase("collect"):
            gathered.append(collected)
            returns.append(mean_over_tasks(collected.performance))
            successes.append(None if collected.success is None else mean_over_tasks(collected.success))
            if collected.observed is not None:
                found = sum_over_tasks(collected.observed)
                observed = found if observed is None else observed + found
    used = sum_over_tasks(torch.stack([collected.transitions for collected in gathered]).sum(0))
    supports = [collected.data for collected in gathered[:steps]]
    last = gathered[-1]
    carried = adapter.carried(theta, end)
    query_data = last.data if query else None
    return Adaptation(end.params, supports, query_data, returns, used, last.objective, successes, observed, carried)

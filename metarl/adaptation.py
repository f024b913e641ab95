"""One meta-iteration's data: every task adapted step by step, with fresh data for each step."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from metarl.inner import InnerRule, adapt_step, begin
from metarl.normalisation import Moments
from metarl.problem import Problem, mean_over_tasks
from metarl.randomness import Key
from metarl.reductions import sum_over_tasks
from metarl.tasks import Tasks, number_of_tasks
from metarl.timing import Phases
from metarl.types import Params, TaskParams


class Adaptation(NamedTuple):
    """What the inner loop leaves behind for an outer update."""

    params: TaskParams
    """Parameters of each task after the last step."""
    supports: list[Any]
    """The data of each step."""
    query: Any
    """Data collected with `params`; None where it was not asked for."""
    returns: list[Tensor | None]
    """Mean score of the data collected before and after each step; None after the last where there is no query."""
    transitions: Tensor
    """Those of all tasks in all steps. Where several seeds are trained at once, these two are of each."""
    objective: Tensor
    """Objective of the last data that was collected, for each task."""
    successes: list[Tensor | None]
    """Mean success rates beside the returns; None where nothing is known of them."""
    observed: Moments | None
    """Moments of all observations of all tasks, where the policy keeps statistics of them."""
    remembered: Params
    """Entries of theta that the inner rule keeps from iteration to iteration; an outer update adds them to its own."""

    def measured(self) -> dict[str, Any]:
        """What every outer update reports of its data."""
        known = {"success": self.successes} if any(value is not None for value in self.successes) else {}
        seen = {} if self.observed is None else {"observed": self.observed}
        return {"return": self.returns, **known, **seen, "transitions": self.transitions}


def collect_adaptation(
    problem: Problem,
    theta: Params,
    tasks: Tasks,
    key: Key,
    rule: InnerRule,
    steps: int,
    phase: Phases,
    *,
    query: bool = True,
) -> Adaptation:
    """Adapt theta to every task: each step's support data comes from the parameters adapted so far.

    Where theta is recorded, so are the steps, and `params` can be differentiated.
    """
    at = begin(theta, number_of_tasks(tasks))
    supports: list[Any] = []
    returns: list[Tensor | None] = []
    successes: list[Tensor | None] = []
    transitions: list[Tensor] = []
    collected, observed = None, None
    for step in range(steps + 1):
        if step == steps and not query:
            returns.append(None)
            successes.append(None)
            break
        with phase("collect"), torch.no_grad():
            collected = problem.collect(at.params, tasks, key.at(step))
            returns.append(mean_over_tasks(collected.score))
            rates = collected.success
            successes.append(None if rates is None else mean_over_tasks(rates))
            transitions.append(collected.transitions)
            if collected.observed is not None:
                found = sum_over_tasks(collected.observed)
                observed = found if observed is None else observed + found
        if step < steps:
            supports.append(collected.data)
            with phase("adapt"):
                at = adapt_step(problem.inner_loss, at, collected.data, rule)
    assert collected is not None
    last = collected.data if query else None
    used = sum_over_tasks(torch.stack(transitions).sum(0))
    kept = rule.remembered(theta, at)
    return Adaptation(at.params, supports, last, returns, used, collected.objective, successes, observed, kept)

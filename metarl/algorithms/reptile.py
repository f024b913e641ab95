"""Reptile (Nichol, Achiam and Schulman 2018, algorithms 1 and 2), with fresh episodes for each inner step."""

from __future__ import annotations

from metarl.adaptation import collect_adaptation
from metarl.config import ReptileConfig
from metarl.inner import InnerRule
from metarl.outer import AdamState, Metrics, adam_step, decayed, described, norm
from metarl.problem import Problem, mean_over_tasks
from metarl.randomness import Key
from metarl.tasks import Tasks
from metarl.timing import Phases
from metarl.types import Params, State


def initial_state(theta: Params, config: ReptileConfig) -> State:
    if config.outer == "plain":
        return {"theta": theta}
    return {"theta": theta, "optimiser": AdamState.zero(theta).to_params()}


def meta_step(
    state: State, problem: Problem, tasks: Tasks, key: Key, rule: InnerRule, config: ReptileConfig, progress: float
) -> tuple[State, Metrics]:
    """Move theta towards the mean of the adapted parameters; nothing is differentiated through.

    Plain: theta + step_size * mean(params - theta), the step size falling linearly to zero. With Adam the
    difference takes the place of the negative gradient, as section 2 of the paper suggests. With a single inner step
    this is joint training; every inner step collects its own episodes, and no query episodes are needed.
    """
    phase = Phases()
    theta = state["theta"]
    data = collect_adaptation(problem, theta, tasks, key, rule, config.inner.steps, phase, query=False)

    with phase("difference"):
        away = {name: mean_over_tasks(value - data.params[name]) for name, value in theta.items()}
        factor = decayed(config.adam.decay, progress)
        if config.outer == "plain":
            theta = {name: value - factor * config.step_size * away[name] for name, value in theta.items()}
            after: State = {"theta": theta}
        else:
            moments = AdamState.from_params(state["optimiser"], theta)
            theta, moments = adam_step(theta, away, moments, config.adam, factor)
            after = {"theta": theta, "optimiser": moments.to_params()}

    metrics = {"return": data.returns, "transitions": data.transitions, "difference_norm": norm(away)}
    return after, described(metrics, phase)

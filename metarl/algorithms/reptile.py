"""Reptile (Nichol, Achiam and Schulman 2018, algorithms 1 and 2), with fresh episodes for each inner step."""

from __future__ import annotations

from metarl.adaptation import collect_adaptation
from metarl.config import ReptileConfig
from metarl.inner import InnerRule, stack
from metarl.outer import Metrics, described, norm, reptile_state, reptile_step
from metarl.problem import Problem, mean_over_tasks
from metarl.randomness import Key
from metarl.tasks import Tasks, number_of_tasks
from metarl.timing import Phases
from metarl.types import Params, State

SEEDS_AXIS = True


def initial_state(theta: Params, config: ReptileConfig) -> State:
    return reptile_state(theta, config)


def meta_step(
    state: State, problem: Problem, tasks: Tasks, key: Key, rule: InnerRule, config: ReptileConfig, progress: float
) -> tuple[State, Metrics]:
    """Move theta towards the mean of the adapted parameters; nothing is differentiated through.

    With a single inner step this is joint training; every inner step collects its own episodes, and no query episodes
    are needed. `metarl.outer.reptile_step` is the move itself.
    """
    phase = Phases()
    theta = state["theta"]
    data = collect_adaptation(problem, theta, tasks, key, rule, config.inner.steps, phase, query=False)

    with phase("difference"):
        start = stack(theta, number_of_tasks(tasks))
        away = {name: mean_over_tasks(value - data.params[name]) for name, value in start.items()}
        after = reptile_step(state, away, config, progress)
        after["theta"] |= data.remembered

    metrics = {**data.measured(), "difference_norm": norm(away)}
    return after, described(metrics, phase)

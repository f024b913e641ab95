"""Joint training over all tasks: the pretrained baseline that a meta-learner must beat (Finn et al. 2017)."""

from __future__ import annotations

from metarl.adaptation import collect_adaptation
from metarl.config import PretrainConfig
from metarl.inner import InnerRule, stack
from metarl.outer import AdamState, Metrics, adam_step, decayed, described, gradient_of, norm, trust_region_step
from metarl.problem import DistributionalProblem, mean_over_tasks
from metarl.randomness import Key
from metarl.tasks import Tasks, number_of_tasks
from metarl.timing import Phases
from metarl.types import Params, State

SEEDS_AXIS = True


def initial_state(theta: Params, config: PretrainConfig) -> State:
    if config.outer == "trpo":
        return {"theta": theta}
    return {"theta": theta, "optimiser": AdamState.zero(theta).to_params()}


def meta_step(
    state: State,
    problem: DistributionalProblem,
    tasks: Tasks,
    key: Key,
    rule: InnerRule,
    config: PretrainConfig,
    progress: float,
) -> tuple[State, Metrics]:
    """One policy-gradient step of theta on the mean loss over tasks, by TRPO or Adam: no task adapts."""
    phase = Phases()
    theta = state["theta"]
    n = number_of_tasks(tasks)
    data = collect_adaptation(problem, theta, tasks, key, rule, 0, phase)
    metrics: Metrics = data.measured()

    if config.outer == "trpo":
        theta, found = trust_region_step(problem, theta, [], data.query, rule, n, config.trust_region, phase)
        return {"theta": theta}, described(metrics | found, phase)

    with phase("gradient"):
        loss, gradient = gradient_of(lambda at: mean_over_tasks(problem.outer_loss(stack(at, n), data.query)), theta)
        moments = AdamState.from_params(state["optimiser"], theta)
        theta, moments = adam_step(theta, gradient, moments, config.adam, decayed(config.adam.decay, progress))
    metrics |= {"outer_loss": loss, "gradient_norm": norm(gradient)}
    return {"theta": theta, "optimiser": moments.to_params()}, described(metrics, phase)

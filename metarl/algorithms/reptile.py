"""Reptile (Nichol, Achiam and Schulman 2018, algorithms 1 and 2), with fresh episodes for each inner step."""

from __future__ import annotations

from metarl.adaptation.adapter import GradientAdapter, stack
from metarl.adaptation.collect import collect_adaptation
from metarl.adaptation.problem import Problem
from metarl.algorithms.adam import AdamState, adam_state, adam_step, decayed
from metarl.algorithms.metrics import Metrics, norm, to_metrics
from metarl.config.algorithms import ReptileConfig, ReptileOptions
from metarl.core.collectives import mean_over_tasks
from metarl.core.params import Params, State
from metarl.core.prng import Key
from metarl.core.timing import Phases
from metarl.families.tasks import Tasks, number_of_tasks

SEEDS_AXIS = True


def initial_state(theta: Params, config: ReptileConfig) -> State:
    return reptile_state(theta, config)


def meta_step(
    state: State,
    problem: Problem,
    tasks: Tasks,
    key: Key,
    adapter: GradientAdapter,
    config: ReptileConfig,
    progress: float,
) -> tuple[State, Metrics]:
    """Move theta towards the mean of the adapted parameters; nothing is differentiated through.

    With a single inner step this is joint training; every inner step collects its own episodes, and no query episodes
    are needed. `metarl.outer.reptile_step` is the move itself.
    """
    phase = Phases()
    theta = state["theta"]
    data = collect_adaptation(problem, theta, tasks, key, adapter, config.inner.steps, phase, query=False)

    with phase("difference"):
        start = stack(theta, number_of_tasks(tasks))
        pseudo_gradient = {name: mean_over_tasks(value - data.params[name]) for name, value in start.items()}
        after = reptile_step(state, pseudo_gradient, config, progress)
        after["theta"] |= data.carried

    metrics = {**data.metrics(), "difference_norm": norm(pseudo_gradient)}
    return after, to_metrics(metrics, phase)


def reptile_step(state: State, pseudo_gradient: Params, options: ReptileOptions, progress: float) -> State:
    """theta moved against `away`, its mean difference from the adapted parameters (Nichol et al. 2018, algorithm 2).

    Plain: theta - step_size * away, the step size falling linearly to zero. With Adam the difference takes the place of
    the gradient, as section 2 of the paper suggests.
    """
    theta, factor = state["theta"], decayed(options.adam.decay, progress)
    if options.outer == "plain":
        return {
            "theta": {name: value - factor * options.step_size * pseudo_gradient[name] for name, value in theta.items()}
        }
    moments = AdamState.from_params(state["optimiser"], theta)
    theta, moments = adam_step(theta, pseudo_gradient, moments, options.adam, factor)
    return {"theta": theta, "optimiser": moments.to_params()}


def reptile_state(theta: Params, options: ReptileOptions) -> State:
    """theta, with the moments of Adam where that moves it."""
    if options.outer == "plain":
        return {"theta": theta}
    return adam_state(theta)

"""Reptile (Nichol, Achiam and Schulman 2018, algorithms 1 and 2), with new episodes for each inner step."""

from __future__ import annotations

from metarl.adaptation.adapter import GradientAdapter, stack
from metarl.adaptation.collect import collect_adaptation
from metarl.adaptation.problem import Problem
from metarl.algorithms.adam import AdamState, adam_state, adam_step, scheduled
from metarl.algorithms.metrics import Metrics, norm, to_metrics
from metarl.config.algorithms import ReptileConfig, ReptileOptions
from metarl.core.collectives import mean_over_tasks
from metarl.core.params import Params, State
from metarl.core.prng import Key
from metarl.core.timing import Phases
from metarl.families.tasks import Tasks, number_of_tasks

SEEDS_AXIS = True


def initial_state(theta: Params, config: ReptileConfig) -> State:
    """theta, and Adam's moments unless the outer step is plain."""
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
    """Move theta towards the mean of the adapted parameters, without differentiation through the inner loop.

    Every inner step collects its own episodes; query episodes are not needed. With a single inner step this is joint
    training.

    Args:
        state: theta, and Adam's moments unless the outer step is plain.
        problem: Collects the data and defines the inner loss.
        tasks: The meta-batch, or this rank's share of it.
        key: Position of the random numbers.
        adapter: The inner loop.
        config: Options of the outer update.
        progress: Fraction of all iterations that are completed.

    Returns:
        The new state, and metrics.
    """
    phase = Phases()
    theta = state["theta"]
    data = collect_adaptation(problem, theta, tasks, key, adapter, config.inner.steps, phase, query=False)

    with phase("difference"):
        start = stack(theta, number_of_tasks(tasks))
        pseudo_gradient = {name: mean_over_tasks(value - data.params[name]) for name, value in start.items()}
        after = reptile_step(state, pseudo_gradient, config, progress, config.iterations)
        after["theta"] |= data.carried

    metrics = {**data.metrics(), "difference_norm": norm(pseudo_gradient)}
    return after, to_metrics(metrics, phase)


def reptile_step(
    state: State, pseudo_gradient: Params, options: ReptileOptions, progress: float, iterations: int
) -> State:
    """One outer step of Reptile (Nichol et al. 2018, algorithm 2).

    The plain step is theta - step_size * pseudo_gradient, with a step size that follows `adam.schedule`. With Adam the
    pseudo-gradient replaces the gradient, as section 2 of the paper suggests.

    Args:
        state: theta, and Adam's moments unless the outer step is plain.
        pseudo_gradient: Mean over tasks of theta minus the adapted parameters.
        options: Options of the outer update.
        progress: Fraction of all iterations that are completed.
        iterations: The number of all iterations.
    """
    theta, factor = state["theta"], scheduled(options.adam, progress, iterations)
    if options.outer == "plain":
        return {
            "theta": {name: value - factor * options.step_size * pseudo_gradient[name] for name, value in theta.items()}
        }
    moments = AdamState.from_params(state["optimiser"], theta)
    theta, moments = adam_step(theta, pseudo_gradient, moments, options.adam, factor)
    return {"theta": theta, "optimiser": moments.to_params()}


def reptile_state(theta: Params, options: ReptileOptions) -> State:
    """Initial state of Reptile: theta, and Adam's moments unless the outer step is plain.

    Args:
        theta: The initialisation.
        options: Options of the outer update.
    """
    if options.outer == "plain":
        return {"theta": theta}
    return adam_state(theta)

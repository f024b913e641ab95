"""Joint training over all tasks: the pretrained baseline of Finn et al. (2017)."""

from __future__ import annotations

from metarl.adaptation.adapter import GradientAdapter, stack
from metarl.adaptation.collect import collect_adaptation
from metarl.adaptation.problem import DistributionalProblem
from metarl.algorithms.adam import AdamState, adam_state, adam_step, scheduled
from metarl.algorithms.meta_gradient import value_and_grad
from metarl.algorithms.metrics import Metrics, norm, to_metrics
from metarl.algorithms.trust_region import trust_region_step
from metarl.config.algorithms import PretrainConfig
from metarl.core.collectives import mean_over_tasks
from metarl.core.params import Params, State
from metarl.core.prng import Key
from metarl.core.timing import Phases
from metarl.families.tasks import Tasks, number_of_tasks

SEEDS_AXIS = True


def initial_state(theta: Params, config: PretrainConfig) -> State:
    """theta, and Adam's moments unless the optimiser is TRPO."""
    if config.outer == "trpo":
        return {"theta": theta}
    return adam_state(theta)


def meta_step(
    state: State,
    problem: DistributionalProblem,
    tasks: Tasks,
    key: Key,
    adapter: GradientAdapter,
    config: PretrainConfig,
    progress: float,
) -> tuple[State, Metrics]:
    """One policy-gradient step on the mean loss over tasks, by TRPO or Adam, without adaptation.

    Args:
        state: theta, and Adam's moments unless the optimiser is TRPO.
        problem: Collects the data and defines the losses.
        tasks: The meta-batch, or this rank's share of it.
        key: Position of the random numbers.
        adapter: Not used for adaptation.
        config: Options of the outer update.
        progress: Fraction of all iterations that are completed.

    Returns:
        The new state, and metrics.
    """
    phase = Phases()
    theta = state["theta"]
    n = number_of_tasks(tasks)
    data = collect_adaptation(problem, theta, tasks, key, adapter, 0, phase)
    metrics: Metrics = data.metrics()

    if config.outer == "trpo":
        region = config.trust_region
        theta, found = trust_region_step(problem, theta, [], data.query, adapter, key.first_task, region, phase)
        return {"theta": theta}, to_metrics(metrics | found, phase)

    with phase("gradient"):
        loss, gradient = value_and_grad(lambda at: mean_over_tasks(problem.outer_loss(stack(at, n), data.query)), theta)
        moments = AdamState.from_params(state["optimiser"], theta)
        theta, moments = adam_step(
            theta, gradient, moments, config.adam, scheduled(config.adam, progress, config.iterations)
        )
    metrics |= {"outer_loss": loss, "gradient_norm": norm(gradient)}
    return {"theta": theta, "optimiser": moments.to_params()}, to_metrics(metrics, phase)

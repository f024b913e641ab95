"""MAML with Adam as the outer optimiser (Finn et al. 2017, algorithm 3)."""

from __future__ import annotations

from metarl.adaptation.adapter import GradientAdapter
from metarl.adaptation.collect import collect_adaptation
from metarl.adaptation.problem import SampledProblem
from metarl.algorithms.adam import AdamState, adam_state, adam_step, scheduled
from metarl.algorithms.meta_gradient import grad, requires_grad, score_function_term
from metarl.algorithms.metrics import Metrics, norm, to_metrics
from metarl.config.algorithms import MamlConfig
from metarl.core.collectives import mean_over_tasks
from metarl.core.params import Params, State
from metarl.core.prng import Key
from metarl.core.timing import Phases
from metarl.families.tasks import Tasks

SEEDS_AXIS = True


def initial_state(theta: Params, config: MamlConfig) -> State:
    """theta, and Adam's moments."""
    return adam_state(theta)


def meta_step(
    state: State,
    problem: SampledProblem,
    tasks: Tasks,
    key: Key,
    adapter: GradientAdapter,
    config: MamlConfig,
    progress: float,
) -> tuple[State, Metrics]:
    """One Adam step on the query loss, differentiated through all inner steps.

    With `inner.first_order` the inner gradients count as constants: first-order MAML (section 5.2). The estimator
    `e-maml` adds the score-function term of the support data (Stadie et al. 2018).

    Args:
        state: theta and Adam's moments.
        problem: Collects the data and defines the losses.
        tasks: The meta-batch, or this rank's share of it.
        key: Position of the random numbers.
        adapter: The inner loop.
        config: Options of the outer update.
        progress: Fraction of all iterations that are completed.

    Returns:
        The new state, and metrics.
    """
    phase = Phases()
    # theta requires gradients during adaptation, so that its graph is recorded and nothing is computed twice.
    theta = requires_grad(state["theta"])
    data = collect_adaptation(problem, theta, tasks, key, adapter, config.inner.steps, phase)

    with phase("gradient"):
        losses = problem.outer_loss(data.params, data.query)
        if config.inner.estimator == "e-maml":
            losses = losses + score_function_term(problem, theta, data.supports, data.objective, adapter)
        loss = mean_over_tasks(losses)
        gradient = grad(loss, theta)
        moments = AdamState.from_params(state["optimiser"], theta)
        theta, moments = adam_step(
            state["theta"], gradient, moments, config.adam, scheduled(config.adam, progress, config.iterations)
        )

    metrics = {
        **data.metrics(),
        "outer_loss": loss.detach(),
        "gradient_norm": norm(gradient),
    }
    return {"theta": theta | data.carried, "optimiser": moments.to_params()}, to_metrics(metrics, phase)

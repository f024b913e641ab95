"""MAML with Adam as the outer optimiser (Finn et al. 2017, algorithm 3)."""

from __future__ import annotations

from metarl.adaptation import collect_adaptation
from metarl.config import MamlConfig
from metarl.inner import InnerRule
from metarl.outer import AdamState, Metrics, adam_step, decayed, described, norm, recorded, sampling_score, slopes_of
from metarl.problem import SampledProblem, mean_over_tasks
from metarl.randomness import Key
from metarl.tasks import Tasks
from metarl.timing import Phases
from metarl.types import Params, State

SEEDS_AXIS = True


def initial_state(theta: Params, config: MamlConfig) -> State:
    return {"theta": theta, "optimiser": AdamState.zero(theta).to_params()}


def meta_step(
    state: State, problem: SampledProblem, tasks: Tasks, key: Key, rule: InnerRule, config: MamlConfig, progress: float
) -> tuple[State, Metrics]:
    """One Adam step along the meta-gradient of the query loss, differentiated through all inner steps.

    With `inner.first_order` the inner gradients are constants: first-order MAML (section 5.2). The estimator `e-maml`
    adds the score of the support data (Stadie et al. 2018).
    """
    phase = Phases()
    # The graph of the adaptation is recorded as it happens, so that nothing is computed twice.
    theta = recorded(state["theta"])
    data = collect_adaptation(problem, theta, tasks, key, rule, config.inner.steps, phase)

    with phase("gradient"):
        losses = problem.outer_loss(data.params, data.query)
        if config.inner.estimator == "e-maml":
            losses = losses + sampling_score(problem, theta, data.supports, data.objective, rule)
        loss = mean_over_tasks(losses)
        gradient = slopes_of(loss, theta)
        moments = AdamState.from_params(state["optimiser"], theta)
        theta, moments = adam_step(state["theta"], gradient, moments, config.adam, decayed(config.adam.decay, progress))

    metrics = {
        **data.measured(),
        "outer_loss": loss.detach(),
        "gradient_norm": norm(gradient),
    }
    return {"theta": theta | data.remembered, "optimiser": moments.to_params()}, described(metrics, phase)

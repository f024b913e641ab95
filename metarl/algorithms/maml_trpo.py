"""MAML with a trust-region outer update (Finn et al. 2017, algorithm 3; TRPO of Schulman et al. 2015)."""

from __future__ import annotations

from metarl.adaptation.adapter import GradientAdapter
from metarl.adaptation.collect import collect_adaptation
from metarl.adaptation.problem import DistributionalProblem
from metarl.algorithms.metrics import Metrics, to_metrics
from metarl.algorithms.trust_region import trust_region_step
from metarl.config.algorithms import MamlTrpoConfig
from metarl.core.params import Params, State
from metarl.core.prng import Key
from metarl.core.timing import Phases
from metarl.families.tasks import Tasks

SEEDS_AXIS = True


def initial_state(theta: Params, config: MamlTrpoConfig) -> State:
    """theta alone: TRPO has no optimiser state."""
    return {"theta": theta}


def meta_step(
    state: State,
    problem: DistributionalProblem,
    tasks: Tasks,
    key: Key,
    adapter: GradientAdapter,
    config: MamlTrpoConfig,
    progress: float,
) -> tuple[State, Metrics]:
    """One trust-region step on the query loss, differentiated through all inner steps.

    Every inner step collects new support episodes with the current parameters of each task. The query episodes are
    collected with the parameters after the last step.

    Args:
        state: theta.
        problem: Collects the data and defines the losses.
        tasks: The meta-batch, or this rank's share of it.
        key: Position of the random numbers.
        adapter: The inner loop.
        config: Options of the outer update.
        progress: Fraction of all iterations that are completed; not used.

    Returns:
        The new state, and metrics.
    """
    phase = Phases()
    theta = state["theta"]
    data = collect_adaptation(problem, theta, tasks, key, adapter, config.inner.steps, phase)
    theta, metrics = trust_region_step(
        problem, theta, data.supports, data.query, adapter, key.first_task, config.trust_region, phase
    )
    return {"theta": theta | data.carried}, to_metrics({**data.metrics(), **metrics}, phase)

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
from metarl.families.tasks import Tasks, number_of_tasks

SEEDS_AXIS = True


def initial_state(theta: Params, config: MamlTrpoConfig) -> State:
    """TRPO carries nothing from one iteration to the next but theta."""
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
    """One outer update of theta on a meta-batch of tasks.

    Every inner step collects fresh support episodes with the parameters adapted so far; the query episodes come
    from the parameters after the last step. The meta-gradient differentiates through all inner steps.
    """
    phase = Phases()
    theta = state["theta"]
    data = collect_adaptation(problem, theta, tasks, key, adapter, config.inner.steps, phase)
    theta, metrics = trust_region_step(
        problem, theta, data.supports, data.query, adapter, number_of_tasks(tasks), config.trust_region, phase
    )
    return {"theta": theta | data.carried}, to_metrics({**data.metrics(), **metrics}, phase)

"""MAML with a trust-region outer update (Finn et al. 2017, algorithm 3; TRPO of Schulman et al. 2015)."""

from __future__ import annotations

from metarl.adaptation import collect_adaptation
from metarl.config import MamlTrpoConfig
from metarl.inner import InnerRule
from metarl.outer import Metrics, described, trust_region_step
from metarl.problem import DistributionalProblem
from metarl.randomness import Key
from metarl.tasks import Tasks, number_of_tasks
from metarl.timing import Phases
from metarl.types import Params, State

SEEDS_AXIS = True


def initial_state(theta: Params, config: MamlTrpoConfig) -> State:
    """TRPO carries nothing from one iteration to the next but theta."""
    return {"theta": theta}


def meta_step(
    state: State,
    problem: DistributionalProblem,
    tasks: Tasks,
    key: Key,
    rule: InnerRule,
    config: MamlTrpoConfig,
    progress: float,
) -> tuple[State, Metrics]:
    """One outer update of theta on a meta-batch of tasks.

    Every inner step collects fresh support episodes with the parameters adapted so far; the query episodes come
    from the parameters after the last step. The meta-gradient differentiates through all inner steps.
    """
    phase = Phases()
    theta = state["theta"]
    data = collect_adaptation(problem, theta, tasks, key, rule, config.inner.steps, phase)
    theta, metrics = trust_region_step(
        problem, theta, data.supports, data.query, rule, number_of_tasks(tasks), config.trust_region, phase
    )
    return {"theta": theta | data.remembered}, described({**data.measured(), **metrics}, phase)

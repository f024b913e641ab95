"""Joint training of one Stable-Baselines3 model across all tasks: the baseline without meta-learning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metarl.inner import GradientDescent
from metarl.outer import Metrics, described, norm
from metarl.randomness import Key
from metarl.sb3_config import PretrainSb3Config
from metarl.tasks import Tasks, number_of_tasks
from metarl.timing import Phases
from metarl.types import Params, State

if TYPE_CHECKING:
    from metarl.sb3.workload import Sb3Problem


def initial_state(theta: Params, config: PretrainSb3Config) -> State:
    return {"theta": theta}


def meta_step(
    state: State,
    problem: Sb3Problem,
    tasks: Tasks,
    key: Key,
    rule: GradientDescent,
    config: PretrainSb3Config,
    progress: float,
) -> tuple[State, Metrics]:
    """`learn` for as many environment steps as Reptile gives to a meta-batch, its tasks in turn, an episode each.

    The optimiser starts afresh with each meta-batch, as there, so that theta and the seed are all there is to resume
    from; within a meta-batch it takes hundreds of steps, many more than its moments remember.
    """
    phase = Phases()
    theta = state["theta"]
    timesteps = number_of_tasks(tasks) * config.inner.steps * config.sb3.timesteps
    with phase("learn"):
        learned = problem.learn(theta, tasks, key, rule.lr, timesteps, 1)
    moved = norm({name: value - theta[name] for name, value in learned.params.items()})
    metrics = {"return": [*learned.returns, None], "transitions": learned.transitions, "difference_norm": moved}
    return {"theta": learned.params}, described(metrics, phase)

"""Joint training of one Stable-Baselines3 model across all tasks: the baseline without meta-learning."""

from __future__ import annotations

from dataclasses import replace

from metarl.adaptation.problem import Problem
from metarl.algorithms.metrics import Metrics, norm, to_metrics
from metarl.config.sb3 import PretrainSb3Config
from metarl.core.params import Params, State
from metarl.core.prng import Key
from metarl.core.timing import Phases
from metarl.families.tasks import Tasks, number_of_tasks
from metarl.sb3.adapter import Sb3Adapter
from metarl.sb3.reptile import learn


def initial_state(theta: Params, config: PretrainSb3Config) -> State:
    return {"theta": theta}


def meta_step(
    state: State,
    problem: Problem,
    tasks: Tasks,
    key: Key,
    adapter: Sb3Adapter,
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
        end = learn(problem, theta, tasks, key, replace(adapter, timesteps=timesteps), 1)
    learned = {name: value[0] for name, value in end.params.items()}
    moved = norm({name: value - theta[name] for name, value in learned.items()})
    metrics = {"return": [*end.memory.returns, None], "transitions": int(end.used), "difference_norm": moved}
    return {"theta": learned}, to_metrics(metrics, phase)

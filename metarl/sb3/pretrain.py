"""Joint training of one Stable-Baselines3 model on all tasks: the baseline without meta-learning."""

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
    """theta alone: the optimiser is new in every iteration."""
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
    """Train one model by `learn` for as many environment steps as Reptile uses for a meta-batch.

    Episodes alternate between the tasks. The optimiser is new in each meta-batch, as in Reptile, so that theta and the
    seed are sufficient to resume. Within a meta-batch it takes hundreds of steps, more than the time constants of its
    moments.

    Args:
        state: theta.
        problem: Not used; the model collects its own data.
        tasks: The meta-batch.
        key: Position of the random numbers.
        adapter: The inner loop.
        config: Options of the outer update.
        progress: Not used.

    Returns:
        The new state, and metrics.
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

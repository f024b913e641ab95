"""Reptile (Nichol, Achiam and Schulman 2018, algorithm 2) with an algorithm of Stable-Baselines3 as inner loop."""

from __future__ import annotations

import torch

from metarl.adaptation.adapter import AdaptState
from metarl.adaptation.problem import Problem
from metarl.algorithms.metrics import Metrics, norm, to_metrics
from metarl.algorithms.reptile import reptile_state, reptile_step
from metarl.config.sb3 import ReptileSb3Config
from metarl.core.collectives import mean_over_tasks
from metarl.core.params import Params, State
from metarl.core.prng import Key
from metarl.core.timing import Phases
from metarl.families.tasks import Tasks, number_of_tasks, take_tasks
from metarl.sb3.adapter import Sb3Adapter


def initial_state(theta: Params, config: ReptileSb3Config) -> State:
    """theta, and Adam's moments unless the outer step is plain."""
    return reptile_state(theta, config)


def meta_step(
    state: State,
    problem: Problem,
    tasks: Tasks,
    key: Key,
    adapter: Sb3Adapter,
    config: ReptileSb3Config,
    progress: float,
) -> tuple[State, Metrics]:
    """Move theta towards the mean of the parameters after `learn` on each task.

    By default all learned parameters change, including the critic and SAC's entropy coefficient; `sb3.moves` selects
    fewer. Each task starts with new optimisers and an empty replay buffer, since moments and transitions of one task
    are invalid for the next. Therefore theta, the outer moments and the seed are sufficient to resume.

    Args:
        state: theta, and Adam's moments unless the outer step is plain.
        problem: Not used; the model collects its own data.
        tasks: The meta-batch.
        key: Position of the random numbers.
        adapter: The inner loop.
        config: Options of the outer update.
        progress: Fraction of all iterations that are completed.

    Returns:
        The new state, and metrics.
    """
    phase = Phases()
    theta, steps = state["theta"], config.inner.steps
    ends: list[AdaptState] = []
    with phase("learn"):
        for task in range(number_of_tasks(tasks)):
            one = take_tasks(tasks, slice(task, task + 1))
            ends.append(learn(problem, theta, one, key.at(task), adapter, steps))

    with phase("difference"):
        moving = adapter.learner.moving(theta)
        pseudo_gradient = {name: torch.zeros_like(value) for name, value in theta.items()}
        for name in moving:
            pseudo_gradient[name] = mean_over_tasks(torch.stack([theta[name] - end.params[name][0] for end in ends]))
        after = reptile_step(state, pseudo_gradient, config, progress, config.iterations)

    metrics = {
        "return": [_mean([end.memory.returns[step] for end in ends]) for step in range(steps)] + [None],
        "transitions": sum(int(end.used) for end in ends),
        "difference_norm": norm(pseudo_gradient),
    }
    return after, to_metrics(metrics, phase)


def learn(problem: Problem, theta: Params, tasks: Tasks, key: Key, adapter: Sb3Adapter, steps: int) -> AdaptState:
    """Adapt one model from theta for `steps` adaptation steps.

    Args:
        problem: Passed to the adapter.
        theta: The initialisation.
        tasks: Tasks of the model's environments.
        key: Position of the random numbers.
        adapter: The inner loop.
        steps: Number of adaptation steps.

    Raises:
        Divergence: Parameters are not finite after a step.
    """
    state = adapter.initial(theta, tasks, key)
    try:
        for _ in range(steps):
            state = adapter.observe(problem, state, None)
            if state.memory.diverged is not None:
                raise state.memory.diverged
    finally:
        adapter.close(state)
    return state


def _mean(returns: list[float | None]) -> float | None:
    """Mean over the tasks with a return; None if there is none."""
    known = [value for value in returns if value is not None]
    return sum(known) / len(known) if known else None

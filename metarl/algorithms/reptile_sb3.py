"""Reptile (Nichol, Achiam and Schulman 2018, algorithm 2) whose inner loop is an algorithm of Stable-Baselines3."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from metarl.inner import GradientDescent
from metarl.outer import Metrics, described, norm, reptile_state, reptile_step
from metarl.problem import mean_over_tasks
from metarl.randomness import Key
from metarl.sb3_config import ReptileSb3Config
from metarl.tasks import Tasks, number_of_tasks, take_tasks
from metarl.timing import Phases
from metarl.types import Params, State

if TYPE_CHECKING:
    from metarl.sb3.workload import Sb3Problem


def initial_state(theta: Params, config: ReptileSb3Config) -> State:
    return reptile_state(theta, config)


def meta_step(
    state: State,
    problem: Sb3Problem,
    tasks: Tasks,
    key: Key,
    rule: GradientDescent,
    config: ReptileSb3Config,
    progress: float,
) -> tuple[State, Metrics]:
    """Move theta towards the mean of what `learn` made of it on each task.

    Everything that the model learns moves, the critic and SAC's entropy coefficient included, unless `sb3.moves` says
    otherwise. Each task begins with new optimisers and an empty replay buffer: one task's moments and transitions
    would mislead the next, and they are no part of an initialisation. So theta, the outer moments and the seed are
    all there is to resume from.
    """
    phase = Phases()
    theta, steps = state["theta"], config.inner.steps
    lessons = []
    with phase("learn"):
        for task in range(number_of_tasks(tasks)):
            one = take_tasks(tasks, slice(task, task + 1))
            lessons.append(problem.learn(theta, one, key.at(task), rule.lr, config.sb3.timesteps, steps))

    with phase("difference"):
        moving = problem.learner.moving(theta)
        away = {name: torch.zeros_like(value) for name, value in theta.items()}
        for name in moving:
            away[name] = mean_over_tasks(torch.stack([theta[name] - lesson.params[name] for lesson in lessons]))
        after = reptile_step(state, away, config, progress)

    metrics = {
        "return": [_mean([lesson.returns[step] for lesson in lessons]) for step in range(steps)] + [None],
        "transitions": sum(lesson.transitions for lesson in lessons),
        "difference_norm": norm(away),
    }
    return after, described(metrics, phase)


def _mean(returns: list[float | None]) -> float | None:
    """Over the tasks in which an episode ended."""
    known = [value for value in returns if value is not None]
    return sum(known) / len(known) if known else None

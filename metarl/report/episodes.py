"""Episodes of chosen tasks before and after adaptation: the very ones that the evaluation measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metarl.adaptation.collect import adapt
from metarl.adaptation.curve import BLOCK
from metarl.config.registry import REINFORCEMENT_LEARNING
from metarl.core.errors import MetarlError
from metarl.core.prng import Key
from metarl.evaluation.comparison import Method
from metarl.families.tasks import Tasks, batch_tasks, task_at
from metarl.report.measure import IN_DISTRIBUTION, Measured
from metarl.rl.data import Episodes
from metarl.rl.problem import ReinforcementLearning
from metarl.runs.checkpoint import load_selected
from metarl.runs.directory import read_config
from metarl.runs.sources import naming_source
from metarl.training.assembly import Assembly, assemble

SHOWN = 2
"""Episodes of each task that are drawn."""


@dataclass(frozen=True)
class Episode:
    """One episode."""

    observations: np.ndarray
    """(steps, observation)."""
    rewards: np.ndarray
    """(steps,)."""


@dataclass(frozen=True)
class Shown:
    """Episodes of one task."""

    role: str
    """best, median or worst."""
    task: int
    """Index among the measured tasks."""
    before: list[Episode]
    after: list[Episode]
    params: Any
    """Parameters after adaptation, of a batch of one task."""


def chosen_tasks(scores: np.ndarray) -> dict[str, int]:
    """The best, the median and the worst task by their scores after adaptation; a diverged task is the worst.

    Args:
        scores: Score of each task (tasks,), NaN where it diverged.

    Example:
        >>> chosen_tasks(np.array([5.0, 1.0, 3.0]))
        {'best': 0, 'median': 2, 'worst': 1}
    """
    order = np.argsort(np.where(np.isfinite(scores), scores, -np.inf), kind="stable")[::-1]
    places = {"best": 0, "median": (len(order) - 1) // 2, "worst": len(order) - 1}
    return {role: int(order[place]) for role, place in places.items()}


def shown_episodes(measured: Measured, label: str, episodes: int, seed: int) -> list[Shown]:
    """Episodes of the best, the median and the worst task of the first run of a method.

    They are at the positions of the evaluation's random numbers, so they are those that it measured.

    Args:
        measured: What was measured.
        label: The method.
        episodes: Episodes of each task in each step.
        seed: Seed of the evaluation.

    Returns:
        The tasks; none where the learner is another library's, which keeps its episodes to itself.
    """
    method, result = measured.method(label), measured.results[label][0]
    steps = len(result["per_task"][0]) - 1
    after = np.array([np.nan if row[-1] is None else row[-1] for row in result["per_task"]], float)
    algorithm, config = read_config(method.runs[0])
    config = config.measured(episodes)
    if method.initialisation == "random":
        config = config.untrained()
    rates = {"inner_lr": method.inner_lr, "later_inner_lr": method.later_inner_lr}
    entry = next(entry for entry in measured.inside["methods"] if entry["label"] == label)
    rates = {name: entry[name] for name in rates}
    with (
        naming_source(method.runs[0], config.task_name()[0]),
        assemble(algorithm, config, REINFORCEMENT_LEARNING, **rates) as parts,
    ):
        problem = parts.setup.problem(training=False)
        if not isinstance(problem, ReinforcementLearning):
            problem.close()
            return []
        theta = _theta(parts, method, seed)
        try:
            return [
                _shown(parts, problem, theta, role, task, measured.tasks, seed, steps)
                for role, task in chosen_tasks(after).items()
            ]
        finally:
            problem.close()


def _theta(parts: Assembly, method: Method, seed: int) -> dict[str, Tensor]:
    if method.initialisation == "random":
        theta = parts.initial_theta()
    else:
        state, manifest = load_selected(method.runs[0])
        trained = parts.as_trained(state["theta"], str(method.runs[0]), manifest)
        theta = {name: value.to(parts.device, parts.dtype) for name, value in trained.items()}
    return parts.setup.at_test(theta, Key.from_seed(seed).at("evaluation"))


def _shown(
    parts: Assembly,
    problem: ReinforcementLearning,
    theta: dict[str, Tensor],
    role: str,
    task: int,
    tasks: Tasks,
    seed: int,
    steps: int,
) -> Shown:
    """Adapt to one task, at its place among all of them."""
    one = batch_tasks([task_at(tasks, task)])
    key = Key.from_seed(seed).at("evaluation").at("episodes", IN_DISTRIBUTION)
    key = key.at(task // BLOCK).from_task(task % BLOCK)
    found: dict[int, list[Episode]] = {}
    params: Any = None
    try:
        for step, (state, _) in enumerate(adapt(problem, theta, one, key, parts.adapter, steps)):
            if step in (0, steps):
                params, memory = parts.adapter.policy(state)
                with torch.no_grad():
                    found[step] = _paths(problem.episodes_of(params, one, key.at_step(step), memory)[0])
    except MetarlError:
        params = None  # it diverged, as the notes say; what came before is shown
    return Shown(role, task, found.get(0, []), found.get(steps, []), params)


def _paths(episodes: Episodes) -> list[Episode]:
    """The first episodes of the only task."""
    paths = []
    for episode in range(min(SHOWN, episodes.mask.shape[1])):
        valid = episodes.mask[0, episode]
        observations = episodes.observations[0, episode][valid].double().cpu().numpy()
        paths.append(Episode(observations, episodes.rewards[0, episode][valid].double().cpu().numpy()))
    return paths

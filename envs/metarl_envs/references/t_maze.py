"""Exact returns in T-mazes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from numpy import ndarray

ACTIONS = 3


def constant(
    tasks: Mapping[str, ndarray], episodes: int, trials: int, rng: np.random.Generator, *, first: float, later: float
) -> Float[ndarray, "tasks episodes"]:
    """A return of the first episode and one of all later ones, the same for every task.

    Args:
        tasks: A batch of tasks.
        episodes: Episodes of a trial.
        trials: Not used; the result is exact.
        rng: Not used.
        first: Return of the first episode.
        later: Return of every later episode.
    """
    return np.tile([first, *[later] * (episodes - 1)], (len(next(iter(tasks.values()))), 1))


def random_walk(
    tasks: Mapping[str, ndarray],
    episodes: int,
    trials: int,
    rng: np.random.Generator,
    *,
    length: int,
    horizon: int,
    turn: float,
    nowhere: float,
) -> Float[ndarray, "tasks episodes"]:
    """Expected return of actions forward, left and right with probability 1/3 each, by summing over places.

    Args:
        tasks: A batch of tasks.
        episodes: Episodes of a trial, which are all alike.
        trials: Not used; the result is exact.
        rng: Not used.
        length: Steps from the start to the junction.
        horizon: Steps of an episode.
        turn: Expected reward of a turn at the junction, either way.
        nowhere: Reward of a step that leads nowhere.
    """
    mass = np.zeros(length + 1)
    mass[0] = 1.0
    worth = 0.0
    for _ in range(horizon):
        turns = mass[-1] * (ACTIONS - 1) / ACTIONS
        stays = mass * np.where(np.arange(length + 1) < length, (ACTIONS - 1) / ACTIONS, 1 / ACTIONS)
        worth += turn * turns + nowhere * stays.sum()
        mass = stays + np.append(0.0, mass[:-1] / ACTIONS)
    return constant(tasks, episodes, trials, rng, first=worth, later=worth)

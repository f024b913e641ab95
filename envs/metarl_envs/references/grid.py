"""Search for a hidden goal on VariBAD's 5x5 grid: the exact optimum, posterior sampling, random actions.

Before the goal is found the posterior is uniform over the goals not visited, whatever happened, so search is a fixed
path. From the second step on a path can visit one possible goal a step, which bounds the first episode; the shortest
way to the goal bounds every later one. `SEARCH` attains both bounds at once: the goals that its first episode leaves
out lie on one shortest path, which the second episode walks.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

CELLS = 5
MOVES = np.array([(0, 0), (0, 1), (1, 0), (0, -1), (-1, 0)])
"""What the actions stay, up, right, down and left add to the cell."""
SEARCH = np.array([
    [(0, 1), (0, 2), (0, 3), (0, 4), (1, 4), (1, 3), (1, 2), (2, 2), (2, 1), (3, 1), (3, 2), (3, 3), (3, 4), (2, 4),
     (2, 3)],
    [(1, 0), (2, 0), (3, 0), (4, 0), (4, 1), (4, 2), (4, 3), (4, 4), *[(4, 4)] * 7],
])  # fmt: skip
"""The cells of the first and of the second episode, as long as the goal is not found."""
FOUND, NOT_FOUND = 1.0, -0.1


def optimal_values(goals: Int[ndarray, "goals 2"], episodes: int, horizon: int) -> Float[ndarray, " episodes"]:
    """The optimum in closed form: expected return of each episode, for a goal drawn uniformly.

    A goal that is reached at step d pays 1.1 (horizon - d + 1) - 0.1 horizon. The first episode finds one goal at each
    step from 2 to the horizon; in later ones d is the distance from (0, 0).

    Args:
        goals: The possible goals, at least `horizon` - 1, none of them beside the start.
        episodes: Episodes of a trial.
        horizon: Steps of an episode.
    """
    first = (FOUND - NOT_FOUND) * np.arange(1, horizon).sum() / len(goals) + NOT_FOUND * horizon
    return np.array([first, *[shortest_way(goals, horizon).mean()] * (episodes - 1)])


def shortest_way(goals: Int[ndarray, "tasks 2"], horizon: int) -> Float[ndarray, " tasks"]:
    """Return of an episode that goes to the goal by a shortest way and stays there.

    Args:
        goals: The goal of each task.
        horizon: Steps of an episode.
    """
    return (FOUND - NOT_FOUND) * (horizon - goals.sum(-1) + 1) + NOT_FOUND * horizon


def search_actions(goals: Int[ndarray, "tasks 2"], episodes: int, horizon: int) -> Int[ndarray, "tasks episodes steps"]:
    """Actions of the optimal policy: `SEARCH` until the goal is found, and from then on straight to it.

    Args:
        goals: The goal of each task.
        episodes: Episodes of a trial.
        horizon: Steps of an episode, at most 15.
    """
    actions = np.empty((len(goals), episodes, horizon), np.int64)
    found = np.zeros(len(goals), bool)
    for episode in range(episodes):
        cell = np.zeros_like(goals)
        for time in range(horizon):
            ahead = SEARCH[min(episode, 1), time]
            chosen = _towards(cell, np.where(found[:, None], goals, ahead), first=np.zeros(len(goals), np.int64))
            actions[:, episode, time] = chosen
            cell = _moved(cell, chosen)
            found |= (cell == goals).all(-1)
    return actions


def known_goal(
    tasks: Mapping[str, ndarray], episodes: int, trials: int, rng: np.random.Generator, *, horizon: int
) -> Float[ndarray, "tasks episodes"]:
    """Return of the shortest way to the known goal.

    Args:
        tasks: A batch of tasks, with `goal` (tasks, 2).
        episodes: Episodes of a trial, which are all alike.
        trials: Not used; the result is exact.
        rng: Not used.
        horizon: Steps of an episode.
    """
    return np.repeat(shortest_way(tasks["goal"], horizon)[:, None], episodes, 1)


def optimal_search(
    tasks: Mapping[str, ndarray], episodes: int, trials: int, rng: np.random.Generator, *, horizon: int
) -> Float[ndarray, "tasks episodes"]:
    """Return of each episode of the policy of `search_actions`.

    Args:
        tasks: A batch of tasks, with `goal` (tasks, 2).
        episodes: Episodes of a trial.
        trials: Not used; nothing is random.
        rng: Not used.
        horizon: Steps of an episode, at most 15.
    """
    goals = tasks["goal"]
    actions = search_actions(goals, episodes, horizon)
    cell = np.zeros((len(goals), episodes, 2), np.int64)
    found = np.zeros((len(goals), episodes))
    for time in range(horizon):
        cell = _moved(cell, actions[..., time])
        found += np.where((cell == goals[:, None]).all(-1), FOUND, NOT_FOUND)
    return found


def uniform_moves(
    tasks: Mapping[str, ndarray], episodes: int, trials: int, rng: np.random.Generator, *, horizon: int
) -> Float[ndarray, "tasks episodes"]:
    """Expected return of uniformly drawn actions.

    Args:
        tasks: A batch of tasks, with `goal` (tasks, 2).
        episodes: Episodes of a trial, which are all alike.
        trials: Not used; the result is exact.
        rng: Not used.
        horizon: Steps of an episode.
    """
    cells = np.indices((CELLS, CELLS)).reshape(2, -1).T
    following = np.zeros((len(cells), len(cells)))
    for action in range(len(MOVES)):
        there = _moved(cells, np.full(len(cells), action))
        following[np.arange(len(cells)), there @ (CELLS, 1)] += 1 / len(MOVES)
    mass = (cells == 0).all(-1).astype(float)
    at_goal = np.zeros(len(tasks["goal"]))
    for _ in range(horizon):
        mass = mass @ following
        at_goal += mass[tasks["goal"] @ (CELLS, 1)]
    return np.repeat(((FOUND - NOT_FOUND) * at_goal + NOT_FOUND * horizon)[:, None], episodes, 1)


def sampled_goals(
    tasks: Mapping[str, ndarray],
    episodes: int,
    trials: int,
    rng: np.random.Generator,
    *,
    goals: Int[ndarray, "goals 2"],
    horizon: int,
) -> Float[ndarray, "tasks episodes"]:
    """Return of each episode of PSRL: a goal is drawn before it from those not ruled out, and walked to.

    The way is a shortest one, up or right by a fair coin at each step where both are open. An episode keeps its goal,
    also when it comes across the true one; cells without reward are ruled out from the next episode on.

    Args:
        tasks: A batch of tasks, with `goal` (tasks, 2).
        episodes: Episodes of a trial.
        trials: Trials of each task.
        rng: Draws goals and ways.
        goals: The possible goals, with the same prior probability.
        horizon: Steps of an episode.
    """
    true = np.repeat(tasks["goal"], trials, 0)
    possible = np.ones((len(true), len(goals)), bool)
    found = np.zeros((len(true), episodes))
    for episode in range(episodes):
        drawn = goals[np.where(possible, rng.random(possible.shape), -1.0).argmax(-1)]
        cell = np.zeros_like(true)
        visited = np.zeros_like(possible)
        for _ in range(horizon):
            cell = _moved(cell, _towards(cell, drawn, first=rng.integers(2, size=len(true))))
            found[:, episode] += np.where((cell == true).all(-1), FOUND, NOT_FOUND)
            visited |= (cell[:, None] == goals).all(-1)
        is_true = (goals == true[:, None]).all(-1)
        seen = (visited & is_true).any(-1, keepdims=True)
        possible &= np.where(seen, is_true, ~visited)
    return found.reshape(-1, trials, episodes).mean(1)


def _towards(
    cell: Int[ndarray, "trials 2"], target: Int[ndarray, "trials 2"], first: Int[ndarray, " trials"]
) -> Int[ndarray, " trials"]:
    """The action that leads to the target along the axis `first`, or along the other if that one is right already."""
    ahead = np.sign(target - cell)
    across = ahead[np.arange(len(ahead)), first] == 0
    axis = np.where(across, 1 - first, first)
    step = ahead[np.arange(len(ahead)), axis][:, None] * np.eye(2, dtype=np.int64)[axis]
    return (step[:, None] == MOVES).all(-1).argmax(-1)


def _moved(cell: ndarray, action: ndarray) -> ndarray:
    return np.clip(cell + MOVES[action], 0, CELLS - 1)

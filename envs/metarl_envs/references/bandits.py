"""Bernoulli bandits with known arms, without learning, and with index policies; one pull is an episode.

The prior of all of them is that of the family: probabilities uniform in [0, 1] and independent, so that an arm with
s successes and f failures has the posterior Beta(s + 1, f + 1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

Index = Callable[[Int[ndarray, "trials arms"], Int[ndarray, "trials arms"], int], Float[ndarray, "trials arms"]]
"""Scores of the arms from their successes, their failures and the number of pulls so far; the highest is pulled."""


def play(
    index: Index, tasks: Mapping[str, ndarray], pulls: int, trials: int, rng: np.random.Generator
) -> Float[ndarray, "tasks pulls"]:
    """Mean reward of each pull of an index policy, over simulated trials of each task.

    What is averaged is the probability of the arm pulled, whose expectation is that of the reward, with less variance.

    Args:
        index: The policy; of equal scores the first arm is pulled, in an order of the arms drawn for each trial.
        tasks: A batch of tasks, with `probabilities` (tasks, arms).
        pulls: Pulls of a trial.
        trials: Trials of each task.
        rng: Draws the orders and the rewards.
    """
    probabilities = rng.permuted(np.repeat(np.asarray(tasks["probabilities"], float), trials, 0), axis=1)
    successes, failures = (np.zeros(probabilities.shape, np.int64) for _ in range(2))
    every = np.arange(len(probabilities))
    found = np.empty((len(probabilities), pulls))
    for pull in range(pulls):
        arm = index(successes, failures, pull).argmax(-1)
        found[:, pull] = probabilities[every, arm]
        paid = rng.random(len(every)) < found[:, pull]
        successes[every, arm] += paid
        failures[every, arm] += ~paid
    return found.reshape(-1, trials, pulls).mean(1)


def best_arm(
    tasks: Mapping[str, ndarray], pulls: int, trials: int, rng: np.random.Generator
) -> Float[ndarray, "tasks pulls"]:
    """Expected reward of each pull of the arm with the highest probability.

    Args:
        tasks: A batch of tasks, with `probabilities` (tasks, arms).
        pulls: Pulls of a trial.
        trials: Not used; the result is exact.
        rng: Not used.
    """
    return np.repeat(np.asarray(tasks["probabilities"], float).max(-1)[:, None], pulls, 1)


def uniform_arm(
    tasks: Mapping[str, ndarray], pulls: int, trials: int, rng: np.random.Generator
) -> Float[ndarray, "tasks pulls"]:
    """Expected reward of each pull of an arm drawn uniformly.

    Args:
        tasks: A batch of tasks, with `probabilities` (tasks, arms).
        pulls: Pulls of a trial.
        trials: Not used; the result is exact.
        rng: Not used.
    """
    return np.repeat(np.asarray(tasks["probabilities"], float).mean(-1)[:, None], pulls, 1)


def thompson(
    tasks: Mapping[str, ndarray], pulls: int, trials: int, rng: np.random.Generator
) -> Float[ndarray, "tasks pulls"]:
    """Thompson sampling (1933): each pull is of the best arm of a draw from the posterior.

    Args:
        tasks: A batch of tasks, with `probabilities` (tasks, arms).
        pulls: Pulls of a trial.
        trials: Trials of each task.
        rng: Draws from the posterior, and the rewards.
    """
    return play(lambda s, f, pull: rng.beta(s + 1, f + 1), tasks, pulls, trials, rng)


def ucb1(
    tasks: Mapping[str, ndarray],
    pulls: int,
    trials: int,
    rng: np.random.Generator,
    *,
    c: float = 0.2,
    assumed: float = 1.0,
) -> Float[ndarray, "tasks pulls"]:
    """UCB1 (Auer et al. 2002, figure 1): the arm with the highest mean + c sqrt(2 ln t / m).

    Here t is the number of pulls so far and m that of the arm. As published, c is 1 and every arm is pulled once first,
    which leaves little of 10 pulls. One success and one failure of every arm that are assumed beforehand, in mean and
    m, do without, and a smaller c is better for trials as short as these.

    Args:
        tasks: A batch of tasks, with `probabilities` (tasks, arms).
        pulls: Pulls of a trial.
        trials: Trials of each task.
        rng: Draws the rewards.
        c: Factor of the bonus.
        assumed: Successes, and failures, that every arm has before its first pull; 0 pulls every arm once first.
    """

    def index(successes: ndarray, failures: ndarray, pull: int) -> ndarray:
        times = successes + failures + 2 * assumed
        known = np.maximum(times, 1)
        bonus = c * np.sqrt(2 * np.log(max(pull, 1)) / known)
        return np.where(times == 0, np.inf, (successes + assumed) / known + bonus)

    return play(index, tasks, pulls, trials, rng)

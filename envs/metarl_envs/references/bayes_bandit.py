"""The Bayes-optimal policy of a Bernoulli bandit with few pulls, by dynamic programming over counts.

Arms are exchangeable under the prior, so a state is the multiset of (successes, failures) of the arms that were
pulled; all arms that were not are one. With 10 pulls there are some 5,000 states for any number of arms.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
from jaxtyping import Float
from numpy import ndarray

MOST_PULLS = 15
"""Pulls up to which the states are enumerated; their number grows 1.8-fold with every pull."""

Arm = tuple[int, int]
"""Successes and failures of an arm."""
Counts = tuple[Arm, ...]
"""The arms that were pulled at least once."""

FRESH: Arm = (0, 0)


def optimal_value(arms: int, pulls: int) -> float:
    """Expected total reward of the Bayes-optimal policy over tasks of the prior, uniform probabilities.

    Args:
        arms: Number of arms.
        pulls: Pulls of a trial.

    Example:
        >>> optimal_value(arms=2, pulls=1), round(optimal_value(arms=5, pulls=10), 3)
        (0.5, 6.66)
    """
    return _value((), arms, pulls)


def optimal_returns(
    tasks: Mapping[str, ndarray], pulls: int, trials: int, rng: np.random.Generator
) -> Float[ndarray, "tasks pulls"]:
    """Expected reward of each pull of the Bayes-optimal policy, for each task.

    The policy is that of the prior and is not told the task. It turns to arms that were not pulled yet in cyclic order
    from a first one that is drawn uniformly, so that no arm is favoured.

    Args:
        tasks: A batch of tasks, with `probabilities` (tasks, arms).
        pulls: Pulls of a trial, at most `MOST_PULLS`.
        trials: Not used; the result is exact.
        rng: Not used.
    """
    probabilities = np.asarray(tasks["probabilities"], float)
    arms = probabilities.shape[1]
    from_each = np.concatenate([np.roll(probabilities, -first, axis=1) for first in range(arms)])
    return returns_in_order(from_each, pulls).reshape(arms, -1, pulls).mean(0)


def returns_in_order(probabilities: Float[ndarray, "tasks arms"], pulls: int) -> Float[ndarray, "tasks pulls"]:
    """Expected reward of each pull of the Bayes-optimal policy that turns to arms in the order of their indices.

    Given a task, the histories of the policy have known probabilities, which are summed.

    Args:
        probabilities: The probabilities of the arms.
        pulls: Pulls of a trial.
    """
    arms = probabilities.shape[1]
    found = np.zeros((len(probabilities), pulls))
    # Arms in the order of their first pull, which is that of their indices, and the probability of being there.
    reached: dict[Counts, ndarray] = {(): np.ones(len(probabilities))}
    for pull in range(pulls):
        following: dict[Counts, ndarray] = {}
        for counts, mass in reached.items():
            arm = optimal_arm(counts, arms, pulls - pull)
            chance = probabilities[:, arm]
            found[:, pull] += mass * chance
            for outcome, weight in (((1, 0), chance), ((0, 1), 1 - chance)):
                then = _pulled(counts, arm, outcome)
                following[then] = following.get(then, 0.0) + mass * weight
        reached = following
    return found


def optimal_arm(counts: Counts, arms: int, remaining: int) -> int:
    """Index of the arm with the highest value; the first of equal ones, and `len(counts)` for one not pulled yet.

    Args:
        counts: Successes and failures of the arms that were pulled.
        arms: Number of arms.
        remaining: Pulls that are left, this one included.
    """
    values = [_arm_value(counts, i, arms, remaining) for i in range(_choices(counts, arms))]
    return int(np.argmax(np.round(values, 12)))  # so that rounding does not decide between equal ones


@cache
def _value(counts: Counts, arms: int, remaining: int) -> float:
    """The equation of Bellman over sorted counts: V(c, n) = max_i p_i (1 + V(c + s_i, n - 1)) + (1 - p_i) V(...)."""
    if remaining == 0:
        return 0.0
    distinct = {counts[i] if i < len(counts) else FRESH: i for i in range(_choices(counts, arms))}
    return max(_arm_value(counts, i, arms, remaining) for i in distinct.values())


def _arm_value(counts: Counts, arm: int, arms: int, remaining: int) -> float:
    successes, failures = counts[arm] if arm < len(counts) else FRESH
    chance = (successes + 1) / (successes + failures + 2)
    won, lost = (tuple(sorted(_pulled(counts, arm, outcome))) for outcome in ((1, 0), (0, 1)))
    return chance * (1 + _value(won, arms, remaining - 1)) + (1 - chance) * _value(lost, arms, remaining - 1)


def _choices(counts: Counts, arms: int) -> int:
    """Arms that were pulled, and one of those that were not."""
    return min(len(counts) + 1, arms)


def _pulled(counts: Counts, arm: int, outcome: Arm) -> Counts:
    before = counts[arm] if arm < len(counts) else FRESH
    return (*counts[:arm], (before[0] + outcome[0], before[1] + outcome[1]), *counts[arm + 1 :])

"""The exact optimum of Bernoulli bandits against an enumeration of all policies, and against its own policy."""

import itertools
from math import factorial, prod

import numpy as np
import pytest

from metarl_envs.references.bayes_bandit import optimal_arm, optimal_returns, optimal_value, returns_in_order


def predictive(counts):
    """Prior probability of outcomes with these counts: the integral of p^s (1 - p)^f for every arm."""
    return prod(factorial(s) * factorial(f) / factorial(s + f + 1) for s, f in counts)


def best_of_all_policies(arms, pulls):
    """Every deterministic policy is an arm for each sequence of outcomes so far."""
    histories = [h for length in range(pulls) for h in itertools.product((0, 1), repeat=length)]
    best = 0.0
    for choices in itertools.product(range(arms), repeat=len(histories)):
        policy = dict(zip(histories, choices, strict=True))
        value = 0.0
        for outcomes in itertools.product((0, 1), repeat=pulls):
            counts = [[0, 0] for _ in range(arms)]
            for time, outcome in enumerate(outcomes):
                counts[policy[outcomes[:time]]][1 - outcome] += 1
            value += sum(outcomes) * predictive(counts)
        best = max(best, value)
    return best


@pytest.mark.parametrize(("arms", "pulls"), [(1, 3), (2, 1), (2, 2), (2, 3), (2, 4), (3, 3)])
def test_the_value_is_that_of_the_best_policy(arms, pulls):
    assert optimal_value(arms, pulls) == pytest.approx(best_of_all_policies(arms, pulls), abs=1e-12)


@pytest.mark.parametrize(("arms", "value"), [(5, 6.660), (10, 6.714), (50, 6.714)])
def test_the_exact_optimum_of_ten_pulls(arms, value):
    assert optimal_value(arms, 10) == pytest.approx(value, abs=5e-4)


@pytest.mark.parametrize(("arms", "pulls"), [(2, 5), (3, 4)])
def test_returns_integrate_to_the_value(arms, pulls):
    """They are polynomials in the probabilities, of degree 5 at most, which four nodes integrate exactly."""
    nodes, weights = np.polynomial.legendre.leggauss(4)
    grid = np.array(list(itertools.product((nodes + 1) / 2, repeat=arms)))
    weight = np.array([prod(w) for w in itertools.product(weights / 2, repeat=arms)])
    for found in (returns_in_order(grid, pulls), optimal_returns({"probabilities": grid}, pulls, 1, None)):
        assert weight @ found.sum(1) == pytest.approx(optimal_value(arms, pulls), abs=1e-12)


def test_returns_of_known_outcomes():
    """An arm that always pays is stayed with, one that never pays is left, and every arm is as likely the first."""
    assert returns_in_order(np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]), 4).tolist() == [[0, 1, 1, 1], [1, 1, 1, 1]]
    found = optimal_returns({"probabilities": np.array([[0.0, 1.0, 0.0]])}, 4, 1, None)
    np.testing.assert_allclose(found, [[1 / 3, 2 / 3, 1, 1]])
    rolled = np.array([[0.3, 0.9, 0.5], [0.9, 0.5, 0.3]])
    same = optimal_returns({"probabilities": rolled}, 5, 1, None)
    np.testing.assert_allclose(same[0], same[1])


def test_the_optimum_explores():
    """An arm with one success and one failure has the mean of a fresh one, and less to learn from; not at the end."""
    assert optimal_arm(((1, 1),), arms=2, remaining=5) == 1
    assert optimal_arm(((1, 1),), arms=2, remaining=1) == 0
    assert optimal_arm(((4, 3),), arms=2, remaining=10) == 1  # though its mean is 5/9

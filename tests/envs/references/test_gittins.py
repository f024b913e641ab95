"""The finite-horizon Gittins index against an enumeration of stopping rules, and its policy against the optimum."""

import itertools

import numpy as np
import pytest

from metarl_envs.references.bayes_bandit import optimal_returns
from metarl_envs.references.gittins import gittins, gittins_table


def best_rate(successes, failures, left):
    """The highest ratio of expected reward to expected pulls of all rules that say after which outcomes to stop."""
    nodes = [h for length in range(1, left) for h in itertools.product((0, 1), repeat=length)]
    best = 0.0
    for stops in itertools.product((False, True), repeat=len(nodes)):
        rule = dict(zip(nodes, stops, strict=True))
        reward = pulls = 0.0
        ahead = [((), 1.0)]
        while ahead:
            outcomes, chance = ahead.pop()
            s, f = successes + sum(outcomes), failures + len(outcomes) - sum(outcomes)
            p = (s + 1) / (s + f + 2)
            pulls, reward = pulls + chance, reward + chance * p
            for outcome, weight in ((1, p), (0, 1 - p)):
                then = (*outcomes, outcome)
                if len(then) < left and not rule[then]:
                    ahead.append((then, chance * weight))
        best = max(best, reward / pulls)
    return best


@pytest.mark.parametrize("left", [1, 2, 3])
def test_the_index_is_the_best_rate_of_a_stopping_rule(left):
    table = gittins_table(6)
    for successes, failures in ((0, 0), (1, 0), (0, 2), (2, 1)):
        found = table[left - 1][successes, failures]
        assert found == pytest.approx(best_rate(successes, failures, left), abs=2e-5), (successes, failures)


def test_the_index_grows_with_the_pulls_that_are_left_and_falls_with_failures():
    table = gittins_table(30)
    fresh = [float(indices[0, 0]) for indices in table]
    assert all(early < late for early, late in itertools.pairwise(fresh))
    assert np.all(np.diff(table[9], axis=1)[:, :10] < 0)
    assert np.all(np.diff(table[9], axis=0)[:10] > 0)


def test_ten_pulls_are_close_to_the_optimum():
    """On the same tasks; the difference of the totals has a standard error of about 0.01."""
    tasks = {"probabilities": np.random.default_rng(0).random((2000, 5))}
    found = gittins(tasks, 10, 10, np.random.default_rng(1)).sum(1).mean()
    assert found == pytest.approx(optimal_returns(tasks, 10, 1, None).sum(1).mean(), abs=0.05)


def test_policy_with_an_arm_that_pays_and_others_that_do_not():
    tasks = {"probabilities": np.array([[1.0, 0.0, 0.0]])}
    found = gittins(tasks, 20, 300, np.random.default_rng(0))[0]
    assert found[3:].tolist() == [1.0] * 17
    assert found[0] == pytest.approx(1 / 3, abs=0.12)


@pytest.mark.parametrize(("arms", "total"), [(5, 78.60), (10, 83.79)])
def test_a_hundred_pulls(arms, total):
    tasks = {"probabilities": np.random.default_rng(0).random((20_000, arms))}
    found = gittins(tasks, 100, 1, np.random.default_rng(1)).sum(1)
    assert found.mean() == pytest.approx(total, abs=0.4)  # both have a standard error of about 0.1

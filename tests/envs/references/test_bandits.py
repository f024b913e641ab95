"""Bandit policies against closed forms and figures that were published."""

import numpy as np
import pytest

from metarl_envs.references.bandits import best_arm, play, thompson, ucb1, uniform_arm

GOOD_AND_BAD = {"probabilities": np.array([[1.0, 0.0], [0.0, 1.0]])}
TASKS = {"probabilities": np.array([[0.2, 0.6, 0.1], [0.9, 0.5, 0.4]])}


def rng():
    return np.random.default_rng(1)


def drawn(tasks, arms):
    return {"probabilities": np.random.default_rng(0).random((tasks, arms))}


def test_known_and_random_arms():
    assert best_arm(TASKS, 2, 5, rng()).tolist() == [[0.6, 0.6], [0.9, 0.9]]
    np.testing.assert_allclose(uniform_arm(TASKS, 2, 5, rng()), [[0.3, 0.3], [0.6, 0.6]])


def test_counts_reach_the_index_and_ties_favour_no_arm():
    """Stay with a winner, leave a loser: arms that always or never pay are told apart after a pull."""

    def win_stay(successes, failures, pull):
        assert (successes + failures).sum(-1).tolist() == [pull] * 800
        return successes - failures

    found = play(win_stay, GOOD_AND_BAD, 4, 400, rng())
    np.testing.assert_allclose(found[:, 0], 0.5, atol=0.1)  # four standard deviations
    assert found[:, 1:].tolist() == [[1.0] * 3] * 2


def test_rewards_are_drawn_with_the_probability_of_the_arm():
    """One arm: the success count has a binomial mean and variance."""
    counts = []

    def note(successes, failures, pull):
        counts.append(successes[:, 0].copy())
        return successes

    play(note, {"probabilities": np.full((1, 1), 0.3)}, 21, 4000, rng())
    assert counts[20].mean() == pytest.approx(6, abs=0.14)
    assert counts[20].var() == pytest.approx(4.2, rel=0.1)


def test_thompson_sampling_on_two_pulls():
    """P(Beta(2, 1) > U) = P(Beta(1, 2) < U) = 2/3, so the second pull is right with probability 2/3 either way."""
    found = thompson(GOOD_AND_BAD, 2, 20_000, rng())
    np.testing.assert_allclose(found, [[1 / 2, 2 / 3]] * 2, atol=0.015)


@pytest.mark.parametrize(("arms", "published"), [(5, 5.82), (10, 5.58), (50, 5.14)])
def test_thompson_sampling_of_ten_pulls_as_published(arms, published):
    assert thompson(drawn(3000, arms), 10, 1, rng()).sum(1).mean() == pytest.approx(published, abs=0.12)


def test_ucb1_by_hand():
    """Both arms once, then the good one until 1 + sqrt(2 ln t / m) < sqrt(2 ln t): at t = 6 with m = 5."""
    found = ucb1(GOOD_AND_BAD, 7, 200, rng(), c=1.0, assumed=0.0)
    np.testing.assert_allclose(found[:, 0] + found[:, 1], 1)
    assert found[:, 2:].tolist() == [[1, 1, 1, 1, 0]] * 2


def test_ucb1_with_assumed_pulls_by_hand():
    """After a failure the fresh arm, 1/2 + b, is above 1/3 + b sqrt(2/3); after a success 2/3 + ... stays above."""
    found = ucb1(GOOD_AND_BAD, 3, 500, rng())
    np.testing.assert_allclose(found[:, 0], 0.5, atol=0.1)
    assert found[:, 1:].tolist() == [[1, 1]] * 2


def test_a_longer_trial_is_better_than_the_published_greedy_and_below_the_best_arm():
    """Published for 100 pulls of 5 arms, c chosen on the test tasks: 78.0; Greedy 74.8; the best arm 83.3."""
    tasks = drawn(2000, 5)
    found = ucb1(tasks, 100, 1, rng()).sum(1).mean()
    assert 76.5 < found < 80
    assert best_arm(tasks, 100, 1, rng()).sum(1).mean() == pytest.approx(83.3, abs=1)

"""Bernoulli bandits against their definition."""

import numpy as np
import pytest

from metarl.core.errors import FamilyError
from metarl_envs.bandit import BernoulliBandit


@pytest.mark.parametrize("arms", [5, 10, 50])
def test_arms_ranges_and_horizon(arms):
    family = BernoulliBandit(f"duan16-{arms}")
    assert family.action_space.n == arms
    assert family.horizon == 1
    drawn = family.sample_tasks(2000, "meta-train", np.random.default_rng(0))["probabilities"]
    assert drawn.shape == (2000, arms)
    # Moments of independent uniform numbers.
    np.testing.assert_allclose(drawn.mean(0), 0.5, atol=0.04)
    np.testing.assert_allclose(np.cov(drawn.T), np.eye(arms) / 12, atol=0.012)
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    assert "10, 100, 500" in family.protocol["pulls"]
    assert "out-of-distribution" not in family.splits.names


def test_each_arm_pays_with_its_probability():
    family = BernoulliBandit()
    probabilities = np.array([0.0, 0.1, 0.5, 0.8, 1.0], np.float32)
    vector = family.make_vec({"probabilities": np.stack([probabilities] * 2)}, 5000)
    for arm, p in enumerate(probabilities):
        vector.reset(seed=arm)
        _, rewards, terminated, truncated, _ = vector.step(np.full(10000, arm))
        assert set(rewards) <= {0.0, 1.0}
        assert abs(rewards.mean() - p) <= 5 * np.sqrt(p * (1 - p) / 10000)  # five standard deviations
        assert terminated.all()
        assert not truncated.any()


def test_an_unknown_variant():
    with pytest.raises(FamilyError, match="did you mean 'duan16-10'"):
        BernoulliBandit("duan16-100")

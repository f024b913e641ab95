import numpy as np
import pytest
import torch

from metarl.core.errors import Divergence
from metarl.rl.advantages import advantages, baseline_features, discounted_sums, fit_baseline, policy_batch
from metarl.rl.data import Episodes


def test_discounted_sums_by_hand():
    assert discounted_sums(torch.tensor([1.0, 2.0, 4.0]), 0.5).tolist() == [3.0, 4.0, 4.0]
    assert discounted_sums(torch.tensor([1.0, 2.0, 4.0]), 0.0).tolist() == [1.0, 2.0, 4.0]
    assert discounted_sums(torch.tensor([1.0, 2.0, 4.0]), 1.0).tolist() == [7.0, 6.0, 4.0]


def one_task(*rows):
    return torch.tensor([rows], dtype=torch.float64)


def test_gae_by_hand_with_an_episode_that_ends_early():
    rewards = one_task([1.0, 2.0, 3.0], [5.0, 0.0, 0.0])
    values = one_task([0.5, 1.0, 2.0], [1.0, 99.0, 99.0])
    mask = torch.tensor([[[True, True, True], [True, False, False]]])
    found = advantages(rewards, values, mask, gamma=0.5, gae_lambda=0.5)
    # deltas: 1 + .5*1 - .5 = 1, 2 + .5*2 - 1 = 2, 3 - 2 = 1; the second episode: 5 - 1 = 4
    assert found[0, 0].tolist() == [1 + 0.25 * (2 + 0.25 * 1), 2 + 0.25 * 1, 1.0]
    assert found[0, 1].tolist() == [4.0, 0.0, 0.0]


def test_gae_with_lambda_one_is_return_minus_value():
    generator = torch.Generator().manual_seed(0)
    rewards, values = torch.randn(2, 3, 4, 20, generator=generator, dtype=torch.float64)
    mask = torch.arange(20) < torch.randint(1, 21, (3, 4, 1), generator=generator)
    rewards = rewards * mask
    found = advantages(rewards, values, mask, gamma=0.9, gae_lambda=1.0)
    torch.testing.assert_close(found, (discounted_sums(rewards, 0.9) - values) * mask)


def test_features_by_hand():
    found = baseline_features(torch.tensor([[[[3.0], [-20.0]]]]))
    torch.testing.assert_close(found[0, 0, 0], torch.tensor([3.0, 9.0, 0.0, 0.0, 0.0, 1.0]))
    torch.testing.assert_close(found[0, 0, 1], torch.tensor([-10.0, 100.0, 0.01, 0.0001, 0.000001, 1.0]))


def test_baseline_of_all_tasks_is_each_tasks_least_squares():
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(3, 5, 7, 4, generator=generator, dtype=torch.float64)
    targets = torch.randn(3, 5, 7, generator=generator, dtype=torch.float64)
    mask = torch.rand(3, 5, 7, generator=generator) < 0.8
    found = fit_baseline(features, targets, mask)
    for task in range(3):
        expected = np.linalg.lstsq(features[task][mask[task]], targets[task][mask[task]], rcond=None)[0]
        np.testing.assert_allclose(found[task], expected, atol=1e-5)


def test_baseline_of_episodes_that_never_move():
    features = baseline_features(torch.full((1, 4, 6, 2), 5.0, dtype=torch.float64))
    targets = torch.full((1, 4, 6), 7.0, dtype=torch.float64)
    mask = torch.ones(1, 4, 6, dtype=torch.bool)
    coefficients = fit_baseline(features, targets, mask)
    torch.testing.assert_close((features @ coefficients[0]), targets, atol=1e-3, rtol=0)


def test_baseline_names_the_task_that_diverged():
    features = torch.ones(3, 2, 2, 1)
    targets = torch.ones(3, 2, 2)
    targets[2, 0, 0] = float("inf")
    with pytest.raises(Divergence, match="task 2"):
        fit_baseline(features, targets, torch.ones(3, 2, 2, dtype=torch.bool))


def test_batch_normalises_advantages_and_weights_within_each_task():
    generator = torch.Generator().manual_seed(2)
    mask = torch.arange(6) < torch.randint(1, 7, (3, 4, 1), generator=generator)
    rewards = torch.randn(3, 4, 6, generator=generator) * mask
    zeros = torch.zeros(3, 4, 6)
    episodes = Episodes(torch.zeros(3, 4, 6, 2), zeros, zeros, rewards, mask)
    batch = policy_batch(episodes, None, gamma=0.9, gae_lambda=1.0)
    for task in range(3):
        valid = batch.advantages[task][batch.weights[task] > 0]
        assert len(valid) == mask[task].sum()
        assert abs(float(valid.mean())) < 1e-6
        assert float(valid.std(correction=0)) == pytest.approx(1, abs=1e-5)
        assert float(batch.weights[task].sum()) == pytest.approx(1, abs=1e-6)
        assert not batch.advantages[task][batch.weights[task] == 0].any()


def test_advantages_that_are_rounding_errors_are_not_blown_up():
    """A reward that is always one is explained by time alone; what is left must not become a unit-size signal."""
    from metarl.rl.advantages import fit_to_returns

    shape = (1, 20, 200)
    ones = torch.ones(shape)
    episodes = Episodes(torch.randn(*shape, 2), torch.zeros(shape), torch.zeros(shape), ones, ones.bool())
    batch = policy_batch(episodes, fit_to_returns(episodes, 1.0), gamma=1.0, gae_lambda=1.0)
    assert float(batch.advantages.std()) < 0.1

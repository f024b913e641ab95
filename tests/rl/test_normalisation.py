import numpy as np
import pytest
import torch
from gymnasium import spaces

from metarl.adaptation.adapter import stack
from metarl.core.prng import Key
from metarl.rl.normalisation import COUNT, FLAT, MEAN, VARIANCE, folded, moments, updated
from metarl.rl.policies import make_policy


@pytest.fixture
def pair():
    """A policy that normalises by statistics of its own, theta, and the plain policy of the same network."""
    box = spaces.Box(-np.inf, np.inf, (3,), np.float32), spaces.Box(-1, 1, (2,), np.float32)
    policy = make_policy(*box, hidden_sizes=(5,), context=2, normalise_observations=True)
    theta = policy.initialise(Key.from_seed(1))
    theta |= {
        MEAN: torch.tensor([4.0, -300.0, 0.25], dtype=torch.float64),
        VARIANCE: torch.tensor([9.0, 1e4, 0.0], dtype=torch.float64),
        "context": torch.tensor([0.5, -1.0], dtype=torch.float64),
    }
    return policy, theta, make_policy(*box, hidden_sizes=(5,), context=2)


def test_a_normalised_policy_is_a_plain_one_on_normalised_observations(pair):
    policy, theta, plain = pair
    observations = torch.randn(2, 4, 6, 3, dtype=torch.float64) * 5
    by_hand = torch.stack(
        [(observations[..., 0] - 4) / 3, (observations[..., 1] + 300) / 100, observations[..., 2] - 0.25], -1
    )
    params = {name: value.expand(2, *value.shape) for name, value in theta.items()}
    ours, _ = policy.act(params, observations)
    theirs, _ = plain.act(params, by_hand)
    torch.testing.assert_close(ours.mean, theirs.mean, rtol=1e-12, atol=1e-12)


def test_folding_leaves_the_function_as_it_is(pair):
    policy, theta, plain = pair
    observations = torch.randn(1, 7, 3, dtype=torch.float64) * 100
    ours, _ = policy.act(stack(theta, 1), observations)
    theirs, _ = plain.act(stack(folded(theta), 1), observations)
    torch.testing.assert_close(ours.mean, theirs.mean, rtol=1e-10, atol=1e-10)
    assert set(folded(theta)) == set(plain.initialise(Key(0)))


def test_nothing_learns_the_statistics(pair):
    policy, theta, _ = pair
    leaves = {name: value.clone().requires_grad_() for name, value in theta.items()}
    policy.act(stack(leaves, 2), torch.randn(2, 4, 3, dtype=torch.float64))[0].mean.sum().backward()
    assert all(leaves[name].grad is None for name in (COUNT, MEAN, VARIANCE))
    assert leaves["hidden.0.weight"].grad.abs().sum() > 0


def test_parts_add_up_where_means_are_large():
    rows = np.random.default_rng(0).normal([1e4, -3, 7], [1, 1e-3, 0], (60, 3))
    theta = {COUNT: torch.zeros(()), MEAN: torch.zeros(3), VARIANCE: torch.ones(3)}
    theta = {name: value.double() for name, value in theta.items()}
    mask = torch.ones(2, 2, 5, dtype=torch.bool)
    for part in rows.reshape(3, 2, 2, 5, 3):
        found = moments(stack(theta, 2), torch.as_tensor(part), mask)
        theta = updated(theta, found.sum(0).tolist())
    np.testing.assert_allclose(theta[MEAN], rows.mean(0), rtol=1e-14)
    np.testing.assert_allclose(theta[VARIANCE][:2], rows.var(0)[:2], rtol=1e-8)
    assert theta[VARIANCE][2] < FLAT
    assert theta[COUNT] == 60

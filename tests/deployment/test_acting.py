"""Actions from distributions of one row, and the random numbers of rollouts."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from metarl.core.errors import Divergence, EnvironmentFault, FamilyError
from metarl.core.prng import Key, noise_seeds, normal, uniform
from metarl.deployment.acting import as_action, as_rows, is_sound, sampled
from metarl.rl.distributions import Categorical, Gaussian
from tests.helpers.agents import CHOICES, agent


def test_observations_become_one_row():
    rows = as_rows([1, 2.5], spaces.Box(-1, 1, (2,)), torch.float64)
    assert torch.equal(rows, torch.tensor([[[1, 2.5]]], dtype=torch.float64))
    with pytest.raises(FamilyError, match=r"shape \(3,\); expected \(2,\)"):
        as_rows([1, 2, 3], spaces.Box(-1, 1, (2,)), torch.float32)
    with pytest.raises(FamilyError, match="flatten it"):
        as_rows({"x": 1}, spaces.Box(-1, 1, (2,)), torch.float32)


def test_actions_lie_in_the_space():
    box = spaces.Box(np.float32([-1, -np.inf]), np.float32([1, np.inf]))
    action = as_action(torch.tensor([[[3.0, -7.0]]], dtype=torch.float64), box)
    assert action.dtype == np.float32
    assert action.tolist() == [1.0, -7.0]
    assert as_action(torch.tensor([[2]]), spaces.Discrete(3, start=-1)) == 1


def test_distributions_that_are_not_finite():
    rows, broken = torch.zeros(1, 1, 2), torch.tensor([[[0.0, np.inf]]])
    bad = Categorical(torch.full((1, 1, 3), torch.nan))
    assert is_sound(Categorical(torch.zeros(1, 1, 3)), broken, False)
    assert not is_sound(bad, broken, True)
    with pytest.raises(EnvironmentFault, match=r"^observation\[1\] = inf \(1 of 2"):
        is_sound(bad, broken, False)
    with pytest.raises(Divergence, match="not finite"):
        is_sound(bad, rows, True)


@pytest.mark.parametrize("discrete", [False, True])
def test_noise_is_that_of_a_rollout_at_the_same_step(discrete):
    policy = agent(CHOICES).policy if discrete else agent().policy
    seeds = Key.from_seed(4).env_seeds(1, 1, first_episode=3)
    whole = (uniform if discrete else normal)(noise_seeds(seeds, 6, policy.noise_components))
    row = torch.linspace(-1, 1, 3 if discrete else 2)[None, None]
    distribution = Categorical(row) if discrete else Gaussian(row, row)
    for time in range(6):
        expected = distribution.sample(whole[time].to(row.dtype))
        assert torch.equal(sampled(policy, distribution, Key.from_seed(4).at(0, 3, time)), expected)


def test_parameters_are_stacked_anew_where_one_was_replaced():
    given = agent()
    seen = np.full(5, 0.5)
    before = given.act(seen)
    given.params["head.bias"] = given.params["head.bias"] - 0.05
    assert np.allclose(given.act(seen), before - 0.05)
    given.params["head.bias"] += 0.05  # in place: the stacked parameters are views
    assert np.allclose(given.act(seen), before)

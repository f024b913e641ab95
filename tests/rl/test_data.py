import numpy as np
import pytest
import torch

from metarl.adaptation.adapter import stack
from metarl.config.algorithms import MamlTrpoConfig
from metarl.core.prng import Key
from metarl.families.observe_task import ObserveTask
from metarl.rl.data import PolicyBatch, flatten_valid, success_rates
from metarl.rl.rollouts import collect
from metarl.rl.setup import build_problem
from tests.helpers.families import HORIZON, REACHING, SELDOM, by_hand
from tests.helpers.quadratics import random_batch
from tests.helpers.successes import BY_HAND, RATES, episodes_of, setup


def test_packing_keeps_every_valid_transition_in_order():
    mask = torch.tensor([[[1, 1, 0, 0], [1, 0, 0, 0]], [[1, 0, 0, 0], [1, 1, 1, 0]]]).bool()
    place = torch.arange(16.0).reshape(2, 2, 4)
    zeros = torch.zeros(2, 2, 4)
    batch = flatten_valid(PolicyBatch(place[..., None].expand(2, 2, 4, 3), place, place, place, mask / 4), mask, 4)
    assert batch.actions.tolist() == [[[0, 1, 4, 2]], [[8, 12, 13, 14]]]
    assert batch.weights.tolist() == [[[0.25, 0.25, 0.25, 0]], [[0.25] * 4]]
    assert batch.observations.shape == (2, 1, 4, 3)
    whole = flatten_valid(
        PolicyBatch(place[..., None], place, place, place, zeros), torch.ones(2, 2, 4, dtype=torch.bool), 8
    )
    assert whole.actions.shape == (2, 2, 4)


def test_packing_changes_no_loss_and_no_gradient(family, policy, theta):
    from metarl.rl.losses import SURROGATES

    generator = torch.Generator().manual_seed(3)
    mask = torch.arange(10) < torch.randint(1, 5, (3, 4, 1), generator=generator)
    observations, actions = torch.randn(2, 3, 4, 10, 2, generator=generator, dtype=torch.float64)
    params = stack(theta, 3)
    log_probs = policy.act(params, observations)[0].log_prob(actions)
    advantages = torch.randn(3, 4, 10, generator=generator, dtype=torch.float64)
    whole = PolicyBatch(observations, actions, log_probs, advantages, mask / mask.sum((1, 2), keepdim=True).double())
    short = flatten_valid(whole, mask, int(mask.sum((1, 2)).max()))
    assert short.weights.shape[2] < 30
    for surrogate in SURROGATES.values():
        losses = [surrogate(policy.act(params, b.observations)[0], b) for b in (whole, short)]
        torch.testing.assert_close(*losses)


@pytest.mark.parametrize("family", [REACHING, SELDOM, ObserveTask(REACHING)], ids=["always", "seldom", "oracle"])
def test_success_counts_if_reached_before_the_end(family):
    episodes = episodes_of(family, BY_HAND)
    assert episodes.mask.sum(2).tolist() == [[6, 6], [2, 2], [2, 2], [6, 6]]
    assert not episodes.successes[~episodes.mask].any()
    assert success_rates(episodes).tolist() == RATES
    assert by_hand(BY_HAND).tolist() == RATES


def test_rounds_of_a_budget_are_counted_together():
    tasks = {"at": np.array([2, 5]), "ends": np.array([3, 1])}
    policy, params, envs = setup(SELDOM, tasks)
    episodes = collect(envs, policy, params, Key(1), horizon=HORIZON, transitions=9)
    assert episodes.mask[..., 0].sum(1).tolist() == [3, 9]
    assert success_rates(episodes).tolist() == [1, 0]


def test_environments_without_success_cost_nothing():
    tasks = {"at": np.array([7, 8]), "ends": np.array([6, 6])}
    assert episodes_of(SELDOM, tasks).successes is None
    assert success_rates(episodes_of(SELDOM, tasks)) is None


def test_data_of_some_tasks(policy, theta, family):
    batch = random_batch(policy, theta, 3, 1, steps=10)
    problem = build_problem(MamlTrpoConfig(), family, policy)
    part = problem.of_tasks(batch, torch.tensor([2, 0]))
    for one, other in zip(part, batch, strict=True):
        assert torch.equal(one, other[[2, 0]])
    assert problem.of_tasks(batch, torch.tensor([], dtype=torch.int64)).weights.shape == (0, *batch.weights.shape[1:])

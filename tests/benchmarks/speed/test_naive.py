"""The naive implementation computes the same as the library."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.speed import naive
from metarl.adaptation.adapter import adapt_step, initial_state, replay, stack
from metarl.adaptation.gradient import gradient_adapter
from metarl.algorithms.trust_region import GaussNewton, ravel
from metarl.core.collectives import mean_over_tasks
from metarl.core.prng import Key
from metarl.rl.advantages import fit_to_returns, policy_batch
from metarl.rl.data import Episodes
from metarl.rl.setup import build_family, build_problem
from metarl_envs.navigation2d import VARIANTS, Navigation2D

LR = 0.3


def ragged(batch):
    """The batch with its first episode cut short."""
    weights = batch.weights.clone()
    weights[:, 0, 4:] = 0
    return batch._replace(weights=weights / weights.sum((1, 2), keepdim=True))


@pytest.fixture
def collected(tiny_config, policy, theta):
    """A problem with support and query data of three tasks, in float64."""
    config = replace(tiny_config, dtype="float64")
    family, adapter = build_family(config), gradient_adapter(config.inner)
    problem = build_problem(config, family, policy)
    key = Key.from_seed(5)
    tasks = family.sample_tasks(3, "meta-train", key.generator())
    support = ragged(problem.collect(stack(theta, 3), tasks, key.at(0)).data)
    params = adapt_step(problem.inner_loss, initial_state(theta, 3), support, adapter).params
    query = ragged(problem.collect(params, tasks, key.at(1)).data)
    return problem, adapter, support, query


def test_the_naive_meta_gradient_is_the_library_s(collected, theta):
    problem, adapter, support, query = collected
    leaves = {name: value.clone().requires_grad_() for name, value in theta.items()}
    loss = mean_over_tasks(problem.outer_loss(replay(problem.inner_loss, leaves, [support], adapter, 3), query))
    expected = torch.autograd.grad(loss, list(leaves.values()))
    found = naive.meta_gradient(theta, support, query, lr=LR)
    for name, value in zip(leaves, expected, strict=True):
        torch.testing.assert_close(found[name], value)


def test_the_naive_hessian_of_the_kl_is_the_library_s_product(collected, theta):
    problem, adapter, support, query = collected

    def distribution(at):
        return problem.distribution(replay(problem.inner_loss, at, [support], adapter, 3), query)

    vector = torch.randn(len(ravel(theta)), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = GaussNewton(distribution, theta, query.weights, damping=0.0)(vector)
    torch.testing.assert_close(naive.kl_product(theta, support, query, vector, lr=LR), expected)


@pytest.mark.parametrize("steered", [False, True])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_plain_environment_moves_as_the_family_s(variant, steered):
    """To the horizon at random, and steered at half-time to where episodes end."""
    goal = np.array([0.17, -0.23], np.float32)
    env, plain = Navigation2D(variant).make({"goal": goal}), naive.PointEnv(variant)
    plain.goal = goal
    end = goal if plain.ends_at_goal else np.zeros(2, np.float32)
    np.testing.assert_array_equal(env.reset(seed=0)[0], plain.reset()[0])
    rng = np.random.default_rng(0)
    ended = False
    while not ended:
        action = rng.normal(scale=2 * plain.bound, size=2).astype(np.float32)
        if steered and plain.time >= 50:
            action = (end - plain.position) / plain.scale
        expected, found = env.step(action), plain.step(action)
        np.testing.assert_allclose(found[0], expected[0], rtol=1e-5, atol=1e-6)
        assert found[1] == pytest.approx(expected[1], rel=1e-5)
        assert found[2:4] == expected[2:4]
        ended = found[2] or found[3]
    assert found[2] == steered
    assert found[3] == (plain.time == Navigation2D.horizon)


def test_naive_data_have_the_library_s_advantages(tiny_config, theta):
    """Episodes of the worker processes, with the library's advantages for the same episodes."""
    torch.manual_seed(0)
    theta = {name: value.float() for name, value in theta.items()}
    envs = naive.make_envs("raw-action", 3)
    envs.set_attr("goal", np.array([0.3, 0.1], np.float32))
    rolled = naive.rollout(envs, naive.policy_like(theta), theta)
    envs.close()
    assert rolled["mask"].shape == (3, Navigation2D.horizon)
    found = naive.batch_of(rolled, tiny_config)
    episodes = Episodes(*(torch.as_tensor(x)[None] for x in rolled.values()))
    episodes = episodes._replace(rewards=episodes.rewards.float())
    coefficients = fit_to_returns(episodes, tiny_config.gamma)
    rates = {"gamma": tiny_config.gamma, "gae_lambda": tiny_config.gae_lambda}
    expected = policy_batch(episodes, coefficients, **rates)
    valid = episodes.mask[0]
    torch.testing.assert_close(found.advantages[valid], expected.advantages[0][valid], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found.weights[valid], expected.weights[0][valid])

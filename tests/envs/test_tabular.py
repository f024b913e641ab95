"""Random tabular MDPs against their definition."""

import warnings

import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from metarl.core.errors import FamilyError
from metarl.families.analytic_env import AnalyticVecEnv
from metarl.families.observe_task import ObserveTask
from metarl_envs.tabular import ACTIONS, STATES, TabularMDP


@pytest.fixture
def family():
    return TabularMDP()


def drawn(family, n, split="meta-train", seed=0):
    return family.sample_tasks(n, split, np.random.default_rng(seed))


def test_contract(family):
    task = {name: value[0] for name, value in drawn(family, 1).items()}
    assert family.task_space.contains(task)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_env(family.make(task), skip_render_check=True)
    env = family.make(task)
    assert env.reset(seed=3)[0].tolist() == [1] + 9 * [0]
    flags = [env.step(0)[2:4] for _ in range(10)]
    assert flags == [(False, False)] * 9 + [(False, True)]


def test_tasks_are_those_of_the_paper(family):
    tasks = drawn(family, 400)
    assert tasks["transitions"].shape == (400, STATES, ACTIONS, STATES) == (400, 10, 5, 10)
    np.testing.assert_allclose(tasks["transitions"].sum(-1), 1, atol=1e-5)
    # Dirichlet(1) over ten: each entry has mean 0.1 and variance 9 / (100 * 11).
    assert tasks["transitions"].var() == pytest.approx(9 / 1100, rel=0.02)
    assert (tasks["rewards"].mean(), tasks["rewards"].std()) == pytest.approx((1, 1), abs=0.03)
    outside = drawn(family, 400, "out-of-distribution")
    assert outside["transitions"].var() > 4 * tasks["transitions"].var()
    assert outside["rewards"].std() == pytest.approx(2, abs=0.05)
    with pytest.raises(FamilyError, match=r"unknown split 'meta-tests'.*did you mean 'meta-test'"):
        drawn(family, 1, "meta-tests")


def test_more_tasks_begin_with_the_same(family):
    few, many = drawn(family, 2), drawn(family, 5)
    assert all(np.array_equal(few[name], many[name][:2]) for name in few)


def test_transitions_and_rewards_have_their_distribution(family):
    """One step of 20,000 lanes from state 0 with action 3, for two tasks."""
    tasks = drawn(family, 2)
    envs = AnalyticVecEnv(family, tasks, 20_000, dtype=torch.float64)
    envs.reset(torch.arange(40_000).reshape(2, 20_000))
    observed, reward, ended = envs.step(torch.full((2, 20_000), 3))
    assert not ended.any()
    np.testing.assert_allclose(observed.mean(1), tasks["transitions"][:, 0, 3], atol=0.012)
    np.testing.assert_allclose(reward.mean(1), tasks["rewards"][:, 0, 3], atol=0.03)
    np.testing.assert_allclose(reward.std(1), 1, atol=0.03)


def test_each_lane_steps_from_its_own_state(family):
    """Deterministic moves: from state s with action a to (s + a + 1) mod 10, reward 10 s + a and noise."""
    s, a = np.meshgrid(np.arange(STATES), np.arange(ACTIONS), indexing="ij")
    task = {
        "transitions": np.eye(STATES, dtype=np.float32)[(s + a + 1) % STATES][None],
        "rewards": (10.0 * s + a).astype(np.float32)[None],
    }
    envs = AnalyticVecEnv(family, task, 5)
    envs.reset(torch.arange(5).reshape(1, 5))
    actions = torch.arange(5).reshape(1, 5)
    first, _, _ = envs.step(actions)
    assert first.argmax(-1).tolist() == [[1, 2, 3, 4, 5]]
    second, reward, _ = envs.step(actions)
    assert second.argmax(-1).tolist() == [[2, 4, 6, 8, 0]]
    np.testing.assert_allclose(reward, [[10, 21, 32, 43, 54]], atol=4)


def test_rounding_leads_to_no_state_beyond_the_last(family):
    task = {name: value[:1].copy() for name, value in drawn(family, 1).items()}
    task["transitions"][...] = 0.0999  # sums to 0.999
    envs = AnalyticVecEnv(family, task, 5000)
    envs.reset(torch.arange(5000).reshape(1, 5000))
    observed, _, _ = envs.step(torch.zeros(1, 5000, dtype=torch.int64))
    assert bool((observed.sum(-1) == 1).all())


def test_the_oracle_observes_the_whole_table(family):
    assert ObserveTask(family).observation_space.shape == (10 + 500 + 50,)

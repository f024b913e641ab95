"""Every constant of the family against its published definition."""

import warnings

import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from hypothesis import given
from hypothesis import strategies as st

from metarl.core.errors import FamilyError
from metarl.families.observe_task import ObserveTask
from metarl_envs.navigation2d import Navigation2D

VARIANTS = list(Navigation2D.variants)


def env_at(variant, goal):
    env = Navigation2D(variant).make({"goal": np.array(goal, np.float32)})
    env.reset(seed=0)
    return env


@pytest.mark.parametrize("variant", VARIANTS)
def test_gymnasium_accepts_it(variant):
    family = Navigation2D(variant)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*(not within|recommend|infinity|alternative render modes).*")
        check_env(family.make({"goal": np.array([0.3, 0.2], np.float32)}, render_mode="rgb_array"))


def test_default_and_unknown_variant():
    assert Navigation2D().variant == VARIANTS[0] == "finn17"
    with pytest.raises(FamilyError, match="did you mean 'wide'"):
        Navigation2D("wid")


@pytest.mark.parametrize(
    ("variant", "goal_range", "task_range", "bound"),
    [("finn17", 0.5, 1, 1), ("raw-action", 0.5, 1, 0.1), ("wide", 2, 4, 0.1)],
)
def test_ranges_and_spaces(variant, goal_range, task_range, bound):
    family = Navigation2D(variant)
    goals = family.sample_tasks(4000, "meta-train", np.random.default_rng(0))["goal"]
    assert goal_range * 0.99 < np.abs(goals).max() <= goal_range
    assert np.abs(goals.mean(0)).max() < 0.05 * goal_range
    assert (
        np.abs(family.sample_tasks(2000, "out-of-distribution", np.random.default_rng(0))["goal"]).max()
        > 0.95 * task_range
    )
    assert family.task_space["goal"].high.tolist() == [task_range] * 2
    assert family.action_space.high.tolist() == pytest.approx([bound, bound])
    assert family.observation_space.shape == (2,)
    assert family.horizon == 100


@pytest.mark.parametrize(
    ("variant", "action", "moved"),
    [
        ("finn17", (0.5, -1.0), (0.05, -0.1)),
        ("finn17", (3.0, -7.0), (0.1, -0.1)),
        ("raw-action", (0.05, -0.1), (0.05, -0.1)),
        ("raw-action", (0.5, -3.0), (0.1, -0.1)),
        ("wide", (0.5, -0.02), (0.1, -0.02)),
    ],
)
def test_actions_and_reward(variant, action, moved):
    env = env_at(variant, (0.3, 0.4))
    observation, reward, terminated, truncated, _ = env.step(np.array(action, np.float32))
    assert observation.tolist() == pytest.approx(list(moved), abs=1e-7)
    assert reward == pytest.approx(-np.hypot(0.3 - moved[0], 0.4 - moved[1]), abs=1e-6)
    assert not terminated
    assert not truncated


def test_starts_at_the_origin():
    for variant in VARIANTS:
        env = Navigation2D(variant).make({"goal": np.array([0.3, 0.2], np.float32)})
        assert env.reset(seed=5)[0].tolist() == [0, 0]


@pytest.mark.parametrize(("offset", "ends"), [(0.0099, True), (0.0101, False)])
def test_ends_within_a_hundredth_of_the_goal_in_both_coordinates(offset, ends):
    for variant, action in (("finn17", 0.5), ("raw-action", 0.05)):
        assert env_at(variant, (0.05 + offset, 0.05)).step(np.full(2, action, np.float32))[2] is ends
        assert env_at(variant, (0.05, 0.05 - offset)).step(np.full(2, action, np.float32))[2] is ends


def test_wide_ends_at_the_origin():
    assert env_at("wide", (1.0, 1.0)).step(np.full(2, 0.009, np.float32))[2] is True
    assert env_at("wide", (0.05, 0.05)).step(np.full(2, 0.05, np.float32))[2] is False


def test_horizon_truncates():
    env = env_at("finn17", (0.5, 0.5))
    flags = [env.step(np.full(2, -1, np.float32))[2:4] for _ in range(100)]
    assert flags[98] == (False, False)
    assert flags[99] == (False, True)


def test_task_survives_reset():
    env = env_at("finn17", (0.5, 0.0))
    before = env.step(np.zeros(2, np.float32))[1]
    env.reset()
    assert env.step(np.zeros(2, np.float32))[1] == before == pytest.approx(-0.5)


@given(st.sampled_from(VARIANTS), st.integers(1, 4), st.integers(1, 3), st.integers(0, 2**31), st.booleans())
def test_the_batch_is_its_single_environments(variant, tasks, episodes, seed, observe):
    """Random tasks, random actions, ended lanes reset by mask: lane by lane the trajectory of make(task)."""
    family = Navigation2D(variant)
    if observe:
        family = ObserveTask(family)
    rng = np.random.default_rng(seed)
    batch = family.sample_tasks(tasks, "meta-train", rng)
    vector = family.make_vec(batch, episodes)
    seeds = rng.integers(2**40, size=tasks * episodes).tolist()
    observations, _ = vector.reset(seed=seeds)
    singles = []
    for env_index, lane_seed in enumerate(seeds):
        env = family.make({k: v[env_index // episodes] for k, v in batch.items()})
        np.testing.assert_array_equal(env.reset(seed=lane_seed)[0], observations[env_index])
        singles.append(env)
    for _ in range(12):
        actions = rng.normal(0, family.action_space.high[0], (tasks * episodes, 2)).astype(np.float32)
        observations, rewards, terminated, truncated, _ = vector.step(actions)
        for env_index, env in enumerate(singles):
            single = env.step(actions[env_index])
            np.testing.assert_allclose(observations[env_index], single[0], atol=1e-6)
            assert rewards[env_index] == pytest.approx(single[1], abs=1e-6)
            assert (terminated[env_index], truncated[env_index]) == single[2:4]
        ended = terminated | truncated | (rng.random(tasks * episodes) < 0.2)
        if ended.any():
            observations, _ = vector.reset(seed=seeds, options={"reset_mask": ended})
            for env_index in np.flatnonzero(ended):
                np.testing.assert_array_equal(
                    singles[env_index].reset(seed=seeds[env_index])[0], observations[env_index]
                )


def test_functions_take_any_leading_shape_and_dtype():
    family = Navigation2D()
    state, _ = family.initial({}, torch.zeros(2, 3, 4, 0, dtype=torch.float64))
    assert state.shape == (2, 3, 4, 2)
    goal = torch.tensor([0.5, 0.5], dtype=torch.float64)
    state, _, reward, ended = family.step({"goal": goal}, state, torch.ones_like(state), torch.zeros(0))
    assert reward.dtype == torch.float64
    assert reward.shape == ended.shape == (2, 3, 4)

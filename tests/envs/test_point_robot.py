"""Point robots against their definitions."""

import numpy as np
import pytest

from metarl.core.errors import FamilyError
from metarl.families.tasks import number_of_tasks
from metarl_envs.point_robot import PointRobot, SparsePointRobot


def goals(family, split):
    lists = family.splits.lists
    assert number_of_tasks(lists[split]) == (80 if split == "meta-train" else 20)
    return lists[split]["goal"]


def env_at(family, goal, seed=0):
    env = family.make({"goal": np.array(goal, np.float32)})
    return env, env.reset(seed=seed)[0]


def test_dense_goals_are_the_published_ones():
    family = PointRobot()
    np.random.seed(1337)
    published = np.array([[np.random.uniform(-1.0, 1.0), np.random.uniform(-1.0, 1.0)] for _ in range(100)])
    np.testing.assert_array_equal(goals(family, "meta-train"), published[:80].astype(np.float32))
    np.testing.assert_array_equal(goals(family, "meta-test"), published[80:].astype(np.float32))
    assert np.abs(goals(family, "meta-validation")).max() <= 1
    assert (np.abs(goals(family, "out-of-distribution")).max(1) > 1).all()


def test_dense_start_steps_and_reward():
    family = PointRobot()
    assert family.horizon == 20
    starts = np.array([env_at(family, (0, 0), seed)[1] for seed in range(400)])
    assert np.abs(starts).max() <= 1
    np.testing.assert_allclose(starts.mean(0), 0, atol=0.1)
    np.testing.assert_allclose(starts.var(0), 1 / 3, atol=0.05)
    env, start = env_at(family, (0.3, -0.4))
    place, reward, terminated, truncated, _ = env.step(np.array([0.5, -7.0], np.float32))
    np.testing.assert_allclose(place - start, [0.05, -0.1], atol=1e-6)
    assert reward == pytest.approx(-np.hypot(place[0] - 0.3, place[1] + 0.4), abs=1e-6)
    flags = [(terminated, truncated)] + [env.step(np.zeros(2, np.float32))[2:4] for _ in range(19)]
    assert flags == [(False, False)] * 19 + [(False, True)]


@pytest.mark.parametrize(("variant", "horizon"), [("pearl", 20), ("varibad", 100)])
def test_sparse_reward_start_and_horizon(variant, horizon):
    family = SparsePointRobot(variant)
    assert family.horizon == horizon
    for distance, reward in ((0.15, 0.85), (0.199, 0.801), (0.201, 0.0), (0.9, 0.0)):
        env, start = env_at(family, (0.1 + distance, 0.0))
        assert start.tolist() == [0, 0]
        assert env.step(np.array([3.0, 0.0], np.float32))[1] == pytest.approx(reward, abs=1e-5)
    env, _ = env_at(family, (0.0, 1.0))
    flags = [env.step(np.array([0.0, 1.0], np.float32))[2:4] for _ in range(horizon)]
    assert flags == [(False, False)] * (horizon - 1) + [(False, True)]


def test_sparse_goals_on_the_semicircle():
    family = SparsePointRobot()
    np.random.seed(1337)
    angles = np.linspace(0, np.pi, 100)
    published = np.stack([np.cos(angles), np.sin(angles)], 1)
    np.random.shuffle(published)
    np.testing.assert_array_equal(goals(family, "meta-train"), published[:80].astype(np.float32))
    np.testing.assert_array_equal(goals(family, "meta-test"), published[80:].astype(np.float32))
    for split in ("meta-validation", "out-of-distribution"):
        found = goals(family, split)
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
        assert ((found[:, 1] < 0) == (split == "out-of-distribution")).all()
    for split, side in (("meta-train", 1), ("meta-test", 1), ("out-of-distribution", -1)):
        drawn = SparsePointRobot("varibad").sample_tasks(2000, split, np.random.default_rng(0))["goal"]
        np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), 1, atol=1e-6)
        assert (side * drawn[:, 1] >= -1e-6).all()
        # Mean height of a semicircle at uniform angles: 2 / pi.
        assert side * drawn[:, 1].mean() == pytest.approx(2 / np.pi, abs=0.03)


def test_unknown_variants():
    with pytest.raises(FamilyError, match="unknown variant 'perl'"):
        SparsePointRobot("perl")

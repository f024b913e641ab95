"""Point corner against its definition."""

import warnings

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from metarl_envs.corner import CORNERS, PointCorner


def test_contract():
    family = PointCorner()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_env(family.make({"corner": np.int64(2)}), skip_render_check=True)
    starts = np.array([family.make({"corner": np.int64(0)}).reset(seed=seed)[0] for seed in range(200)])
    assert np.abs(starts).max() <= 0.2
    assert np.abs(starts).max(0) == pytest.approx([0.2, 0.2], abs=0.01)
    env = family.make({"corner": np.int64(0)})
    env.reset(seed=0)
    assert [env.step(env.action_space.sample())[2:4] for _ in range(100)] == [(False, False)] * 99 + [(False, True)]


def test_the_four_corners_are_shared_by_all_splits():
    splits = PointCorner().splits
    assert splits.kind == "shared"
    for name in splits.names:
        assert sorted(splits.sample(8, name, np.random.default_rng(1))["corner"]) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert sorted(CORNERS) == [(-2, -2), (-2, 2), (2, -2), (2, 2)]


@pytest.mark.parametrize("corner", range(4))
def test_reward_by_hand(corner):
    """Towards (2, 2) at full speed; the action is clipped to 0.2 a coordinate."""
    env = PointCorner().make({"corner": np.int64(corner)})
    position, _ = env.reset(seed=4)
    for _ in range(9):
        before, (position, reward, *_) = position, env.step(np.array([1.0, 1.0], np.float32))
        np.testing.assert_allclose(position - before, [0.2, 0.2], atol=1e-6)
        heard = np.abs(position).sum() > 0.5
        progress = np.linalg.norm(before - [2, 2]) - np.linalg.norm(position - [2, 2])
        expected = progress if CORNERS[corner] == (2.0, 2.0) and heard else 0.0
        assert reward == pytest.approx(expected, abs=1e-6)
    assert np.abs(position).sum() > 2

"""The rover against its definition."""

import warnings

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from metarl_envs.rover import RoverDirection

TASK = {"direction": np.array([0.6, -0.8], np.float32)}


def test_contract():
    family = RoverDirection()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_env(family.make(TASK), skip_render_check=True)
    headings = np.array([family.make(TASK).reset(seed=seed)[0] for seed in range(500)])
    np.testing.assert_allclose(np.linalg.norm(headings, axis=1), 1, atol=1e-6)
    assert np.abs(headings.mean(0)).max() < 0.1
    env = family.make(TASK)
    env.reset(seed=0)
    assert [env.step(env.action_space.sample())[2:4] for _ in range(50)] == [(False, False)] * 49 + [(False, True)]


def test_dynamics_and_reward_by_hand():
    env = RoverDirection().make(TASK)
    (x, y), _ = env.reset(seed=7)
    heading = np.arctan2(y, x)
    for speed, turn in [(1.0, 0.5), (-0.3, -2.0), (3.0, 1.0)]:
        observation, reward, *_ = env.step(np.array([speed, turn], np.float32))
        speed, turn = np.clip([speed, turn], -1, 1)
        heading += 0.3 * turn
        np.testing.assert_allclose(observation, [np.cos(heading), np.sin(heading)], atol=1e-5)
        along = 0.6 * np.cos(heading) - 0.8 * np.sin(heading)
        assert reward == pytest.approx(speed * along - 0.01 * (speed**2 + turn**2), abs=1e-5)

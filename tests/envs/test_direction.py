"""The direction families against their definition."""

import warnings

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from metarl.core.errors import FamilyError
from metarl_envs.direction import CoupledDirection, PointDirection


@pytest.mark.parametrize("family", [PointDirection(), CoupledDirection()], ids=lambda f: f.name)
def test_contract(family):
    task = {"direction": np.array([0.6, -0.8], np.float32)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_env(family.make(task), skip_render_check=True)
    assert family.horizon == 50
    env = family.make(task)
    assert env.reset(seed=1)[0].tolist() == [0, 0]
    flags = [env.step(env.action_space.sample())[2:4] for _ in range(50)]
    assert flags == [(False, False)] * 49 + [(False, True)]


@pytest.mark.parametrize(
    ("family", "action", "push", "cost"),
    [
        (PointDirection(), [0.5, -3.0], [0.5, -1.0], 0.05 * 1.25),
        (CoupledDirection(), [0.5, -1.0, -0.5, 2.0], [-0.25, -1.0], 0.01 * 2.5),
    ],
)
def test_dynamics_and_reward_by_hand(family, action, push, cost):
    env = family.make({"direction": np.array([0.6, -0.8], np.float32)})
    env.reset(seed=0)
    velocity = np.zeros(2)
    for _ in range(3):
        observation, reward, *_ = env.step(np.array(action, np.float32))
        velocity = 0.8 * velocity + 0.2 * np.array(push)
        np.testing.assert_allclose(observation, velocity, atol=1e-6)
        assert reward == pytest.approx(0.6 * velocity[0] - 0.8 * velocity[1] - cost, abs=1e-6)


def test_directions_are_unit_vectors_at_any_angle():
    directions = PointDirection().sample_tasks(4000, "meta-train", np.random.default_rng(0))["direction"]
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1, atol=1e-6)
    assert np.abs(directions.mean(0)).max() < 0.05
    with pytest.raises(FamilyError, match="unknown split"):
        PointDirection().sample_tasks(1, "out-of-distribution", np.random.default_rng(0))

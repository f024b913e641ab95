"""Vector environments by id: tasks, one batch, and episodes that follow one another."""

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

import metarl
from metarl.core.errors import ConfigError
from tests.helpers.families import needs


def test_each_has_a_task_of_its_own_or_the_given_one():
    tasks = gymnasium.make_vec("metarl/Navigation2D-v0", num_envs=3).reset(seed=4)[1]["task"]["goal"]
    expected = metarl.load_family("navigation2d").sample_tasks(3, "meta-train", np.random.default_rng(4))["goal"]
    np.testing.assert_array_equal(tasks, expected)
    given = gymnasium.make_vec("metarl/Navigation2D-v0", num_envs=3, goal=[0.3, -0.2])
    assert (given.reset(seed=4)[1]["task"]["goal"] == np.float32([0.3, -0.2])).all()


@pytest.mark.parametrize("env_id", ["metarl/CartPole-v0", "metarl/CheetahDirection-v0"])
def test_episodes_are_those_of_the_family_and_follow_one_another(env_id):
    """Without autoreset the family's vector environment has the same steps; ended episodes are reset by a mask."""
    name = {"metarl/CartPole-v0": "cartpole", "metarl/CheetahDirection-v0": "cheetah-dir"}[env_id]
    needs(name)
    envs = gymnasium.make_vec(env_id, num_envs=4)
    assert envs.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    observations, info = envs.reset(seed=2)
    family = metarl.load_family(name)
    plain = family.make_vec(info["task"], 1)
    np.testing.assert_array_equal(observations, plain.reset(seed=2)[0])
    envs.action_space.seed(1)
    ends = 0
    for _ in range(family.horizon + 5):
        actions = envs.action_space.sample()
        observations, rewards, terminated, truncated, info = envs.step(actions)
        last, expected, *flags, _ = plain.step(actions)
        np.testing.assert_array_equal(rewards, expected)
        ended = flags[0] | flags[1]
        np.testing.assert_array_equal(terminated | truncated, ended)
        if ended.any():
            ends += int(ended.sum())
            np.testing.assert_array_equal(info["final_obs"][ended], last[ended])
            np.testing.assert_array_equal(info["_final_obs"], ended)
            started, _ = plain.reset(options={"reset_mask": ended})
            np.testing.assert_array_equal(observations[ended], started[ended])
            np.testing.assert_array_equal(observations[~ended], last[~ended])
        else:
            np.testing.assert_array_equal(observations, last)
    assert ends >= 4


def test_there_is_at_least_one():
    with pytest.raises(ConfigError, match="num_envs = 0; expected at least 1"):
        gymnasium.make_vec("metarl/Navigation2D-v0", num_envs=0)

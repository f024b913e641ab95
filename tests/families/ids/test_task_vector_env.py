"""Vector environments by id: tasks, one batch, and episodes that follow one another."""

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers.vector import RecordEpisodeStatistics

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
            np.testing.assert_array_equal(info["_final_info"], ended)
            assert info["final_info"].keys() == info.keys() - {"final_obs", "_final_obs", "final_info", "_final_info"}
            started, _ = plain.reset(options={"reset_mask": ended})
            np.testing.assert_array_equal(observations[ended], started[ended])
            np.testing.assert_array_equal(observations[~ended], last[~ended])
        else:
            np.testing.assert_array_equal(observations, last)
    assert ends >= 4


def test_seeds_of_their_own_draw_the_tasks():
    """A single environment with the seed has the same task, whichever its neighbours are."""

    def drawn(seed):
        return gymnasium.make_vec("metarl/Navigation2D-v0", num_envs=2).reset(seed=seed)[1]["task"]["goal"]

    alone = [gymnasium.make("metarl/Navigation2D-v0").reset(seed=seed)[1]["task"]["goal"] for seed in (5, 6)]
    np.testing.assert_array_equal(drawn([5, 6]), alone)
    np.testing.assert_array_equal(drawn([6, None])[0], alone[1])
    np.testing.assert_array_equal(drawn(np.int64(5)), drawn(5))
    with pytest.raises(ConfigError, match=r"^seed = \[1\]; expected a whole number, or one for each of 2$"):
        drawn([1])


def test_a_reset_comes_first_and_nothing_is_drawn():
    envs = gymnasium.make_vec("metarl/Navigation2D-v0", num_envs=2)
    with pytest.raises(gymnasium.error.ResetNeeded):
        envs.step(envs.action_space.sample())
    with pytest.raises(
        ConfigError, match=r"^render_mode = 'rgb_array': a batch is not rendered; give vectorization_mod"
    ):
        gymnasium.make_vec("metarl/Navigation2D-v0", num_envs=2, render_mode="rgb_array")
    envs = gymnasium.make_vec("metarl/Navigation2D-v0", num_envs=2, render_mode="rgb_array", vectorization_mode="sync")
    envs.reset(seed=1)
    assert len(envs.render()) == 2


def test_statistics_of_gymnasium_are_those_of_the_episodes():
    envs = RecordEpisodeStatistics(gymnasium.make_vec("metarl/BernoulliBandit-v0", num_envs=3))
    _, info = envs.reset(seed=1)
    returns, lengths, episodes = np.zeros(3), np.zeros(3, int), 0
    for _ in range(40):
        _, rewards, terminated, truncated, info = envs.step(envs.action_space.sample())
        returns, lengths = returns + rewards, lengths + 1
        for i in np.flatnonzero(terminated | truncated):
            assert (info["episode"]["r"][i], info["episode"]["l"][i]) == (returns[i], lengths[i])
            returns[i], lengths[i], episodes = 0, 0, episodes + 1
    assert episodes >= 3


def test_there_is_at_least_one():
    with pytest.raises(ConfigError, match="num_envs = 0; expected at least 1"):
        gymnasium.make_vec("metarl/Navigation2D-v0", num_envs=0)

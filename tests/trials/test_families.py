"""Trials of every kind of family: analytic, on MuJoCo, declared and written by hand, alone and in vectors."""

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from metarl.core.errors import ConfigError
from metarl.families.declared import declare_family
from metarl.families.ids.installed import registered
from metarl.families.registry import load_family
from metarl.families.tasks import task_at
from metarl.trials.env import TrialEnv, inner_seed
from tests.helpers.families import SHORT_PENDULUM, Corridor, Countdown, draw, lengths, load_or_skip
from tests.helpers.trials import Diaries


def numbers(*values):
    return {"task": np.array(values)}


def stepped_by_hand(env, episodes, horizon, seed, actions):
    """Observations with history and rewards of inner episodes, from an environment that is no trial."""
    flat = spaces.flatten
    observation, _ = env.reset(seed=seed)
    zeros = np.zeros(spaces.flatdim(env.action_space) + 2)
    observations, rewards = [np.append(flat(env.observation_space, observation), zeros)], []
    for episode in range(episodes):
        for step in range(1, horizon + 1):
            action = next(actions)
            observation, reward, terminated, truncated, _ = env.step(action)
            end = terminated or truncated or step == horizon
            if end and episode + 1 < episodes:
                observation, _ = env.reset(seed=inner_seed(seed, episode + 1))
            history = [*flat(env.action_space, action), reward, end]
            observations.append(np.append(flat(env.observation_space, observation), history))
            rewards.append(reward)
            if end:
                break
    return np.array(observations, np.float32), rewards


def random_actions(space, seed):
    space.seed(seed)
    while True:
        yield space.sample()


@pytest.mark.parametrize("name", sorted(registered()))
def test_a_trial_of_every_family_that_ships_is_its_episodes_in_a_row(name, monkeypatch):
    family = load_or_skip(name)
    monkeypatch.setattr(family, "horizon", min(family.horizon, 4))
    task = task_at(draw(family, 2, family.splits.names[0]), 1)
    expected, expected_rewards = stepped_by_hand(
        family.make(task), 3, family.horizon, 5, random_actions(family.action_space, 1)
    )
    env = family.trials(task, episodes=3)
    actions, observations, rewards, terminated = random_actions(family.action_space, 1), [env.reset(seed=5)[0]], [], 0
    while not terminated:
        observation, reward, terminated, truncated, _ = env.step(next(actions))
        assert not truncated
        observations.append(observation)
        rewards.append(reward)
    assert rewards == expected_rewards
    np.testing.assert_array_equal(observations, expected)
    assert all(observation in env.observation_space for observation in observations)
    env.close()


@pytest.mark.parametrize(
    "name", ["bernoulli-bandit", "navigation2d", "tabular-mdp", "grid-navigation", "cartpole", "pendulum"]
)
def test_both_checkers_accept_trials_of_families(name):
    family = load_family(name)
    env = family.trials(task_at(draw(family, 1, "meta-train"), 0), episodes=2)
    check_env(env, skip_render_check=True)
    checker = pytest.importorskip("stable_baselines3.common.env_checker", reason="stable-baselines3 is not installed")
    checker.check_env(env, warn=False)


def test_an_analytic_family_ends_inner_episodes_as_its_task_says():
    """Countdowns of 2 steps terminate; those of 9 are cut at the horizon of 6."""
    for length, steps, how in ((2, 2, "inner_terminated"), (9, 6, "inner_truncated")):
        env = Countdown().trials({"length": length}, episodes=2)
        env.reset(seed=1)
        infos = [env.step(np.zeros(1, np.float32))[4] for _ in range(2 * steps)]
        assert [t for t, info in enumerate(infos, 1) if info[how]] == [steps, 2 * steps]
        assert [t for t, info in enumerate(infos, 1) if info["inner_end"]] == [steps, 2 * steps]


def test_a_family_that_enforces_no_horizon_is_cut_at_it():
    """`Corridor` never ends and nothing but the trial knows the horizon; its nested observations are flattened."""

    class Bare(Diaries):
        horizon = 5
        observation_space, action_space = Corridor.observation_space, Corridor.action_space

        def make(self, task, *, render_mode=None):
            return Corridor(int(task["task"]))

    env = Bare().trials({"task": 8}, episodes=2)
    observation, _ = env.reset()
    assert observation.tolist() == [0, 1, 0, 0, 0, 0, 0, 0, 0]
    answers = [env.step(1) for _ in range(10)]
    assert answers[3][0].tolist() == [0, 0, 1, 1, 1, 0, 1, 8, 0]
    assert answers[4][0].tolist() == [0, 1, 0, 0, 0, 0, 1, 8, 1]
    assert [t for t, answer in enumerate(answers, 1) if answer[4]["inner_truncated"]] == [5, 10]
    assert [answer[2] for answer in answers] == 9 * [False] + [True]


def test_a_declared_family_keeps_its_task_also_where_it_is_an_argument_of_the_constructor():
    family = declare_family(Corridor, spaces.Dict({"size": spaces.Discrete(9)}), horizon=2)
    env = family.trials({"size": np.int64(5)}, episodes=3)
    for _ in range(2):
        env.reset()
        assert [env.step(0)[1] for _ in range(6)] == 6 * [5.0]
    family.set_task(env, {"size": np.int64(7)})
    env.reset()
    assert [env.step(0)[1] for _ in range(6)] == 6 * [7.0]


def test_the_task_is_sticky_through_inner_ends_and_trials_until_it_is_set():
    family = Diaries()
    env = family.trials({"task": 6}, episodes=3)

    def seen():
        observations = [env.reset()[0]]
        while True:
            observation, _, terminated, _, info = env.step(np.zeros(1, np.float32))
            observations.append(observation)
            if terminated:
                assert info["inner_episode"] == 3
                return {observation[0] for observation in observations}

    assert [seen(), seen()] == [{6.0}, {6.0}]
    family.set_task(env, {"task": 2})
    assert [seen(), seen()] == [{2.0}, {2.0}]


def test_trials_have_the_render_mode_and_the_observations_of_the_family():
    env = Diaries().trials({"task": 4}, render_mode="ansi")
    assert isinstance(env, TrialEnv)
    assert (env.render_mode, env.render(), env.episodes, env.horizon) == ("ansi", "task 4", 4, 4)
    plain = Diaries().trials({"task": 4}, observe_history=False)
    assert plain.observation_space == Diaries.observation_space  # and not the bounds of task 4
    with pytest.raises(ConfigError, match=r"^episodes = 0; expected"):
        Diaries().trials({"task": 4}, episodes=0)


def test_vectors_of_unlike_tasks_are_task_major_and_keep_their_tasks_over_trials():
    """Each sub-environment gives what its trials alone give, with a step for the reset after each trial."""
    envs = Diaries().make_trials_vec(numbers(1, 7), 2, episodes=3)
    assert (envs.num_envs, envs.metadata["autoreset_mode"]) == (4, AutoresetMode.NEXT_STEP)
    assert envs.single_observation_space.shape == (6,)
    alone = [Diaries().trials({"task": task}, episodes=3) for task in (1, 1, 7, 7)]
    observations, _ = envs.reset(seed=[3, 4, 5, 6])
    expected = np.array([env.reset(seed=seed)[0] for env, seed in zip(alone, (3, 4, 5, 6), strict=True)])
    assert observations[:, 0].tolist() == [1, 1, 7, 7]
    np.testing.assert_array_equal(observations, expected)
    action, over, trials = np.full(1, 0.5, np.float32), [False] * 4, np.zeros(4, int)
    for _ in range(80):
        observations, rewards, terminated, truncated, infos = envs.step(np.full((4, 1), 0.5, np.float32))
        assert not truncated.any()
        for i, env in enumerate(alone):
            if over[i]:  # the step after a trial's end is its reset, whatever the action
                observation, info = env.reset()
                reward, over[i] = 0.0, False
                assert observation[2:].tolist() == [0, 0, 0, 0]
            else:
                observation, reward, over[i], _, info = env.step(action)
            np.testing.assert_array_equal(observations[i], observation)
            assert (rewards[i], terminated[i]) == (reward, over[i])
            assert (infos["inner_end"][i], infos["inner_episode"][i]) == (info["inner_end"], info["inner_episode"])
            if info["inner_end"]:
                assert infos["final_observation"][i].tolist() == info["final_observation"].tolist()
            trials[i] += over[i]
    assert trials.min() >= 3
    envs.close()


def test_a_vector_of_an_analytic_family_is_reproducible_and_pays_by_task():
    family = load_family("bernoulli-bandit")
    tasks = {"probabilities": np.eye(5, dtype=np.float32)[[4, 2]]}
    envs = family.make_trials_vec(tasks, 3, episodes=2, observe_history=False)
    assert envs.single_observation_space == family.observation_space
    envs.reset(seed=1)
    paid = [envs.step(np.full(6, 2))[1].tolist() for _ in range(5)]
    # Two pulls of arm 2, the reset of the vector, two pulls of the next trial.
    assert paid == [[0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 1], [0] * 6, [0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 1]]
    noisy = load_family("navigation2d")
    goals = draw(noisy, 2, "meta-train")
    runs = []
    for _ in range(2):
        envs = noisy.make_trials_vec(goals, 2)
        runs.append([envs.reset(seed=9)[0]] + [envs.step(np.full((4, 2), 0.05, np.float32))[0] for _ in range(5)])
    np.testing.assert_array_equal(runs[0], runs[1])


def test_vectors_are_made_of_at_least_one_trial_a_task():
    with pytest.raises(ConfigError, match=r"^trials_per_task = 0; expected a whole number of at least 1$"):
        Countdown().make_trials_vec(lengths(1, 2), 0)


def test_pendulum_is_cut_at_its_declared_horizon():
    env = SHORT_PENDULUM.trials({"g": np.float32(9.0)}, episodes=2)
    env.reset(seed=1)
    ends = [env.step(np.zeros(1, np.float32))[4]["inner_truncated"] for _ in range(20)]
    assert ends == (9 * [False] + [True]) * 2

"""RecurrentPPO of sb3-contrib learns across the inner episodes of a trial, unchanged."""

from functools import partial

import numpy as np
import pytest

pytest.importorskip("sb3_contrib", reason="sb3-contrib is not installed (extra sb3)")

from sb3_contrib import RecurrentPPO
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from metarl.families.registry import load_family
from metarl.families.tasks import number_of_tasks, task_at
from tests.helpers.families import draw

SETTINGS = {"n_steps": 64, "batch_size": 64, "n_epochs": 1, "policy_kwargs": {"lstm_hidden_size": 8}, "seed": 1}


def trained(env):
    """A model after 256 steps, whose parameters moved and are finite."""
    model = RecurrentPPO("MlpLstmPolicy", env, **SETTINGS)
    before = {name: value.clone() for name, value in model.policy.state_dict().items()}
    model.learn(256)
    assert model.num_timesteps == 256
    after = model.policy.state_dict()
    assert all(bool(value.isfinite().all()) for value in after.values())
    assert any(bool((after[name] != before[name]).any()) for name in before if "lstm" in name)
    return model


def act_for_a_trial(model, env):
    """One trial with the memory handed on from step to step; returns the number of steps."""
    observation, _ = env.reset(seed=0)
    state, start, over, steps = None, np.ones(1, bool), False, 0
    while not over:
        action, state = model.predict(observation, state=state, episode_start=start)
        assert env.action_space.contains(action)
        observation, _, over, _, _ = env.step(action)
        start, steps = np.zeros(1, bool), steps + 1
    return steps


def test_it_learns_on_one_environment_and_acts():
    family = load_family("bernoulli-bandit")
    env = family.trials(task_at(draw(family, 1, "meta-train"), 0), episodes=10)
    model = trained(env)
    assert act_for_a_trial(model, env) == 10
    # The episodes that Stable-Baselines3 counts are trials.
    assert {episode["l"] for episode in model.ep_info_buffer} == {10}


def test_it_learns_on_a_vector_of_unlike_tasks_and_acts():
    family = load_family("navigation2d")
    tasks = draw(family, 4, "meta-train")
    envs = [partial(family.trials, task_at(tasks, i), 2) for i in range(number_of_tasks(tasks))]
    model = trained(DummyVecEnv([lambda make=make: Monitor(make()) for make in envs]))
    assert act_for_a_trial(model, envs[0]()) <= 2 * family.horizon
    assert model.observation_space.shape == (family.observation_space.shape[0] + 2 + 2,)

from typing import ClassVar

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from metarl.adaptation.adapter import stack
from metarl.core.errors import EnvironmentFault
from metarl.core.prng import Key
from metarl.families.declared import declare_family
from metarl.families.vec_env import GymVecEnv, make_vec_env
from metarl.rl.data import mean_returns
from metarl.rl.policies import make_policy
from metarl.rl.rollouts import rollout
from tests.helpers.families import Countdown, lengths
from tests.helpers.steps import setup


def pendulum():
    return declare_family(
        "Pendulum-v1",
        spaces.Dict({"g": spaces.Box(5.0, 15.0, ()), "m": spaces.Box(0.5, 2.0, ())}),
        horizon=20,
    )


def test_any_gymnasium_environment_equals_its_own_single_run():
    family = pendulum()
    tasks = family.sample_tasks(2, "meta-train", np.random.default_rng(0))
    policy = make_policy(family.observation_space, family.action_space, hidden_sizes=(4,))
    theta = {k: v.float() for k, v in policy.initialise(Key.from_seed(1)).items()}
    envs = make_vec_env(family, tasks, 3, device="cpu", dtype=torch.float32)
    assert isinstance(envs, GymVecEnv)
    key = Key(4)
    episodes = rollout(envs, policy, stack(theta, 2), key, horizon=20)
    seeds = key.at("environment").env_seeds(2, 3)
    for task in range(2):
        for episode in range(3):
            env = family.make({k: v[task] for k, v in tasks.items()})
            observation, _ = env.reset(seed=int((seeds[task, episode] >> 33) & 0x7FFFFFFF))
            for t in range(20):
                np.testing.assert_allclose(episodes.observations[task, episode, t], observation, atol=1e-5)
                action = np.clip(episodes.actions[task, episode, t].numpy(), -1, 1)
                observation, reward, _, truncated, _ = env.step(action)
                assert float(episodes.rewards[task, episode, t]) == pytest.approx(float(reward), abs=1e-5)
            assert truncated
            env.close()
    envs.close()


def test_a_lane_that_ended_is_reset_before_it_is_stepped_again():
    class Strict(gymnasium.Env):
        """Refuses to be stepped after its end, as gymnasium's contract allows."""

        observation_space = spaces.Box(-1, 1, (1,), np.float32)
        action_space = spaces.Discrete(2, start=1)

        def __init__(self, length=1):
            self.length = length
            self.over = True

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            self.time, self.over = 0, False
            return np.zeros(1, np.float32), {}

        def step(self, action):
            assert not self.over
            assert action in (1, 2)
            self.time += 1
            self.over = self.time >= self.length
            return np.zeros(1, np.float32), 1.0, self.over, False, {}

    family = declare_family(Strict, spaces.Dict({"length": spaces.Discrete(8, start=1)}), horizon=8)
    policy = make_policy(family.observation_space, family.action_space, hidden_sizes=(4,))
    theta = {k: v.float() for k, v in policy.initialise(Key.from_seed(1)).items()}
    envs = make_vec_env(family, lengths(1, 3, 8), 2, device="cpu", dtype=torch.float32)
    episodes = rollout(envs, policy, stack(theta, 3), Key(1), horizon=8)
    assert mean_returns(episodes).tolist() == [1, 3, 8]
    again = rollout(envs, policy, stack(theta, 3), Key(1), horizon=8)
    assert torch.equal(again.actions, episodes.actions)
    envs.set_tasks(lengths(2, 2, 2))
    assert mean_returns(rollout(envs, policy, stack(theta, 3), Key(1), horizon=8)).tolist() == [2, 2, 2]
    envs.close()


class Counting(gymnasium.Env):
    """Notes how many threads torch has while an environment is stepped."""

    observation_space = spaces.Box(-1, 1, (1,), np.float32)
    action_space = spaces.Box(-1, 1, (1,), np.float32)
    seen: ClassVar[set[int]] = set()
    fails = False

    def reset(self, *, seed=None, options=None):
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.seen.add(torch.get_num_threads())
        if self.fails:
            raise RuntimeError("broken")
        return np.zeros(1, np.float32), 0.0, False, False, {}


@pytest.mark.parametrize("fails", [False, True])
def test_torch_leaves_the_cores_to_environments_on_the_host(fails, monkeypatch):
    monkeypatch.setattr(Counting, "seen", set())
    monkeypatch.setattr(Counting, "fails", fails)
    family = declare_family(lambda x: Counting(), spaces.Dict({"x": spaces.Discrete(2)}), horizon=2, name="counting")
    policy = make_policy(family.observation_space, family.action_space, hidden_sizes=(4,))
    theta = {name: value.float() for name, value in policy.initialise(Key.from_seed(1)).items()}
    envs = make_vec_env(family, {"x": np.array([0, 1])}, 2, device="cpu", dtype=torch.float32)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        if fails:
            with pytest.raises(EnvironmentFault, match="broken"):
                rollout(envs, policy, stack(theta, 2), Key(1), horizon=2)
        else:
            rollout(envs, policy, stack(theta, 2), Key(1), horizon=2)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
        envs.close()
    assert Counting.seen == {1}


class Faulty(gymnasium.Env):
    """An environment with one fault, chosen by the task."""

    observation_space = spaces.Box(-10, 10, (2,), np.float32)
    action_space = spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self, fault=0):
        self.fault = fault

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return np.zeros(3 if self.fault == 1 else 2, np.float32), {}

    def step(self, action):
        self.time += 1
        if self.fault == 2 and self.time == 2:
            raise ValueError("the motor is on fire")
        reward = float("nan") if self.fault == 3 and self.time == 3 else 0.0
        return np.zeros(2, np.float32), reward, False, False, {}


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (1, r"task 1, episode 0: reset returned an observation of shape \(3,\); expected \(2,\) \(step 0\)"),
        (2, r"task 1, episode 0: step raised ValueError: the motor is on fire \(step 2\)"),
        (3, "reward is not finite at task 1, episode 0, step 2"),
    ],
)
def test_broken_environments_are_named(fault, message):
    family = declare_family(Faulty, spaces.Dict({"fault": spaces.Discrete(4)}), horizon=5)
    policy = make_policy(Faulty.observation_space, family.action_space, hidden_sizes=(4,))
    theta = {k: v.float() for k, v in policy.initialise(Key.from_seed(1)).items()}
    envs = make_vec_env(family, {"fault": np.array([0, fault])}, 2, device="cpu", dtype=torch.float32)
    with pytest.raises(EnvironmentFault, match=message):
        rollout(envs, policy, stack(theta, 2), Key(1), horizon=5)


def test_a_vector_environment_that_reuses_its_buffer():
    class Reusing(gymnasium.vector.VectorEnv):
        num_envs = 2
        single_action_space = spaces.Box(-1, 1, (1,), np.float32)
        buffer = np.zeros((2, 1), np.float32)

        def reset(self, *, seed=None, options=None):
            self.buffer[:] = 0
            return self.buffer, {}

        def step(self, actions):
            self.buffer += 1
            return self.buffer, np.zeros(2), np.zeros(2, bool), np.zeros(2, bool), {}

    policy, theta, _ = setup(Countdown(), lengths(1), 1)
    episodes = rollout(GymVecEnv(Reusing(), 1), policy, stack(theta, 1), Key(1), horizon=4)
    assert episodes.observations[0, 0, :, 0].tolist() == [0, 1, 2, 3]

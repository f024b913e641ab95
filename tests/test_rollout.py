from typing import ClassVar

import gymnasium
import numpy as np
import pytest
import torch
from conftest import tensors
from gymnasium import spaces

from metarl.adaptation.adapter import stack
from metarl.core.errors import Divergence, EnvironmentFault
from metarl.core.prng import Key
from metarl.families.analytic import AnalyticFamily
from metarl.families.analytic_env import AnalyticVecEnv
from metarl.families.declared import declare_family
from metarl.families.splits import UniformSplits
from metarl.families.tasks import take_tasks
from metarl.families.vec_env import GymVecEnv, make_vec_env
from metarl.rl.data import mean_returns
from metarl.rl.policies import make_policy
from metarl.rl.rollouts import collect, rollout


class Countdown(AnalyticFamily):
    """Ends after `length` steps; reward: the time. Knows when an episode must end."""

    name = "countdown"
    horizon = 6
    observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = spaces.Box(-1, 1, (1,), np.float32)
    task_space = spaces.Dict({"length": spaces.Discrete(9, start=1)})
    splits = UniformSplits(task_space)

    def initial(self, task, noise):
        start = noise.new_zeros((*noise.shape[:-1], 1))
        return start, start

    def step(self, task, state, action, noise):
        state = state + 1
        return state, state, state[..., 0], state[..., 0] >= task["length"]


class Noisy(Countdown):
    """Starts at a random place, drifts at random and never ends."""

    initial_noise = 1
    step_noise = 2

    def initial(self, task, noise):
        return noise, noise

    def step(self, task, state, action, noise):
        state = state + noise.sum(-1, keepdim=True) + 0.1 * action
        return state, state, -state[..., 0], state[..., 0] > 1e9


def setup(family, tasks, episodes, dtype=torch.float32):
    policy = make_policy(family.observation_space, family.action_space, hidden_sizes=(4,))
    theta = {k: v.to(dtype) for k, v in policy.initialise(Key.from_seed(1)).items()}
    return policy, theta, AnalyticVecEnv(family, tasks, episodes, dtype=dtype)


def lengths(*values):
    return {"length": np.array(values)}


def test_masks_and_returns_of_episodes_that_end_at_different_times():
    policy, theta, envs = setup(Countdown(), lengths(1, 3, 9), 2)
    episodes = rollout(envs, policy, stack(theta, 3), Key(1), horizon=6)
    assert episodes.mask.sum(2).tolist() == [[1, 1], [3, 3], [6, 6]]
    assert mean_returns(episodes).tolist() == [1, 6, 21]
    assert episodes.observations[1, 0, :, 0].tolist() == [0, 1, 2, 0, 0, 0]
    assert not episodes.rewards[~episodes.mask].any()
    assert episodes.transitions == 20


def test_rollout_stops_once_every_lane_has_ended():
    policy, theta, envs = setup(Countdown(), lengths(2, 2), 2)
    assert rollout(envs, policy, stack(theta, 2), Key(1), horizon=6).mask.shape == (2, 2, 2)


def test_budget_in_transitions_is_met_by_whole_episodes():
    policy, theta, envs = setup(Countdown(), lengths(1, 2, 5), 2)
    episodes = collect(envs, policy, stack(theta, 3), Key(1), horizon=6, transitions=7)
    assert episodes.mask[..., 0].sum(1).tolist() == [7, 4, 2]
    assert episodes.mask.sum((1, 2)).tolist() == [7, 8, 10]
    assert mean_returns(episodes).tolist() == [1, 3, 15]


def test_more_episodes_than_lanes_are_the_same_as_that_many_lanes():
    policy, theta, envs = setup(Noisy(), lengths(1, 1), 5)
    _, _, few = setup(Noisy(), lengths(1, 1), 2)
    params = stack(theta, 2)
    at_once = collect(envs, policy, params, Key(1), horizon=6, episodes=5)
    in_rounds = collect(few, policy, params, Key(1), horizon=6, episodes=5)
    for a, b in zip(tensors(at_once), tensors(in_rounds), strict=True):
        torch.testing.assert_close(a, b)


def test_a_task_alone_is_the_first_of_a_batch():
    policy, theta, envs = setup(Noisy(), lengths(1, 2, 3), 4, torch.float64)
    _, _, alone = setup(Noisy(), take_tasks(lengths(1, 2, 3), slice(0, 1)), 4, torch.float64)
    batch = rollout(envs, policy, stack(theta, 3), Key(9), horizon=6)
    single = rollout(alone, policy, stack(theta, 1), Key(9), horizon=6)
    for a, b in zip(tensors(batch), tensors(single), strict=True):
        torch.testing.assert_close(a[:1], b)


def test_same_key_same_episodes_and_another_key_others():
    policy, theta, envs = setup(Noisy(), lengths(1, 2), 3)
    params = stack(theta, 2)
    one, two, other = (rollout(envs, policy, params, Key(k), horizon=6) for k in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(tensors(one), tensors(two), strict=True))
    assert not torch.equal(one.actions, other.actions)


def test_log_probs_are_those_of_the_acting_policy():
    policy, theta, envs = setup(Noisy(), lengths(1, 2), 3)
    episodes = rollout(envs, policy, stack(theta, 2), Key(1), horizon=6)
    distribution, _ = policy.act(stack(theta, 2), episodes.observations)
    torch.testing.assert_close(episodes.log_probs, distribution.log_prob(episodes.actions), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("field", "value"), [("observation", float("nan")), ("reward", float("inf"))])
def test_a_value_that_is_not_finite_is_located(field, value):
    class Broken(Countdown):
        def step(self, task, state, action, noise):
            state, observation, reward, ended = super().step(task, state, action, noise)
            bad = (state[..., 0] == 3) & (task["length"] == 8)
            if field == "observation":
                observation = torch.where(bad[..., None], value, observation)
            else:
                reward = torch.where(bad, value, reward)
            return state, observation, reward, ended

    policy, theta, envs = setup(Broken(), lengths(7, 8), 2)
    # An observation is used at the step after the one that returned it.
    step = 3 if field == "observation" else 2
    with pytest.raises(EnvironmentFault, match=f"{field} is not finite at task 1, episode 0, step {step}"):
        rollout(envs, policy, stack(theta, 2), Key(1), horizon=6)


def test_parameters_that_diverged_are_not_the_environments_fault():
    policy, theta, envs = setup(Countdown(), lengths(7, 8), 2)
    params = {k: v.clone() for k, v in stack(theta, 2).items()}
    params["head.bias"][1] = float("nan")
    with pytest.raises(Divergence, match="task 1"):
        rollout(envs, policy, params, Key(1), horizon=6)


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


def test_analytic_lanes_are_stepped_by_all_threads_of_torch(monkeypatch):
    seen, step = set(), Countdown.step
    monkeypatch.setattr(Countdown, "step", lambda *x: seen.add(torch.get_num_threads()) or step(*x))
    policy, theta, envs = setup(Countdown(), lengths(2), 2)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        rollout(envs, policy, stack(theta, 1), Key(1), horizon=2)
    finally:
        torch.set_num_threads(before)
    assert seen == {3}


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
        (1, r"task 1, episode lane 0: reset returned an observation of shape \(3,\); expected \(2,\)"),
        (2, "task 1, episode lane 0: step raised ValueError: the motor is on fire"),
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


class Switch(AnalyticFamily):
    """Discrete actions that count from three; the reward is the action."""

    name = "switch"
    horizon = 4
    observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = spaces.Discrete(2, start=3)
    task_space = spaces.Dict({"k": spaces.Box(0.0, 1.0, (1,))})
    splits = UniformSplits(task_space)

    def initial(self, task, noise):
        start = noise.new_zeros((*noise.shape[:-1], 1))
        return start, start

    def step(self, task, state, action, noise):
        assert noise.is_floating_point()
        return state, state, action.float(), action > 100


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_discrete_actions_count_from_the_start_of_their_space(dtype):
    family = Switch()
    policy, theta, envs = setup(family, {"k": np.zeros((2, 1), np.float32)}, 3, dtype)
    episodes = rollout(envs, policy, stack(theta, 2), Key(1), horizon=4)
    assert set(episodes.actions.flatten().tolist()) == {0, 1}
    assert torch.equal(episodes.rewards, episodes.actions + 3.0)
    assert episodes.rewards.dtype == dtype
    env = family.make({"k": np.zeros(1, np.float32)})
    env.reset(seed=1)
    assert env.step(4)[1] == 4
    vector = family.make_vec({"k": np.zeros((1, 1), np.float32)}, 2)
    vector.reset(seed=1)
    assert vector.step(np.array([3, 4]))[1].tolist() == [3, 4]


def test_tasks_that_have_their_budget_are_not_stepped_on():
    class Counting(Countdown):
        steps = 0

        def step(self, task, state, action, noise):
            self.steps += 1
            return super().step(task, state, action, noise)

    family = Counting()
    policy, theta, envs = setup(family, lengths(6, 1), 2)
    episodes = collect(envs, policy, stack(theta, 2), Key(1), horizon=6, transitions=12)
    assert episodes.mask.sum((1, 2)).tolist() == [12, 12]
    # Six steps of the first round; then five rounds in which only the short task goes on.
    assert family.steps == 6 + 5


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

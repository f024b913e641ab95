import numpy as np
import pytest
import torch
from gymnasium import spaces

from metarl.adaptation.adapter import stack
from metarl.core.prng import Key
from metarl.families.analytic import AnalyticFamily
from metarl.families.splits import UniformSplits
from metarl.rl.rollouts import rollout
from tests.helpers.families import Countdown, lengths
from tests.helpers.steps import setup


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

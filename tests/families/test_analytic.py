import numpy as np
import torch
from gymnasium import spaces

from metarl.core.prng import Key
from metarl.families.analytic import AnalyticFamily
from metarl.families.splits import UniformSplits
from metarl.families.vec_env import GymVecEnv
from metarl.rl.data import success_rates
from metarl.rl.rollouts import rollout
from tests.helpers.families import HORIZON
from tests.helpers.successes import episodes_of, setup


class Passing(AnalyticFamily):
    """A point that drifts; success is within 0.5 of `mark`, where it is for a single step."""

    name = "passing"
    horizon = HORIZON
    observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = spaces.Box(-1, 1, (1,), np.float32)
    task_space = spaces.Dict({"mark": spaces.Discrete(9)})
    splits = UniformSplits(task_space)

    def initial(self, task, noise):
        start = noise.new_zeros((*noise.shape[:-1], 1))
        return start, start

    def step(self, task, state, action, noise):
        state = state + 1
        return state, state, state[..., 0], state[..., 0] >= 4

    def succeeded(self, task, state):
        return (state[..., 0] - task["mark"]).abs() < 0.5


def test_analytic_families_may_know_success():
    family, tasks = Passing(), {"mark": np.array([0, 3, 4, 5])}
    episodes = episodes_of(family, tasks)
    assert success_rates(episodes).tolist() == [0, 1, 1, 0]
    assert episodes.successes[1, 0].tolist() == [False, False, True, False]
    env = family.make({"mark": 3})
    env.reset(seed=1)
    singly = [env.step(env.action_space.sample())[4] for _ in range(4)]
    assert singly == [{"success": flag} for flag in episodes.successes[1, 0].tolist()]
    over_gymnasium = GymVecEnv(family.make_vec(tasks, 2), 4)
    policy, params, _ = setup(family, tasks)
    again = rollout(over_gymnasium, policy, params, Key(1), horizon=HORIZON)
    assert torch.equal(again.successes, episodes.successes)

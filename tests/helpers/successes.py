import numpy as np
import torch

from metarl.adaptation.adapter import stack
from metarl.core.prng import Key
from metarl.families.vec_env import make_vec_env
from metarl.rl.policies import make_policy
from metarl.rl.rollouts import rollout
from tests.helpers.families import HORIZON

# Up in the middle only; up after the end of the episode only; up in its last step; never up.
BY_HAND = {"at": np.array([2, 5, 2, 8]), "ends": np.array([8, 2, 2, 8])}
RATES = [1, 0, 1, 0]


def setup(family, tasks, workers=0, episodes=2):
    policy = make_policy(family.observation_space, family.action_space, hidden_sizes=(4,))
    theta = {k: v.float() for k, v in policy.initialise(Key.from_seed(1)).items()}
    n = len(next(iter(tasks.values())))
    envs = make_vec_env(family, tasks, episodes, device="cpu", dtype=torch.float32, workers=workers)
    return policy, stack(theta, n), envs


def episodes_of(family, tasks, workers=0):
    policy, params, envs = setup(family, tasks, workers)
    try:
        return rollout(envs, policy, params, Key(1), horizon=HORIZON)
    finally:
        envs.close()

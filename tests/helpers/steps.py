from dataclasses import replace

import torch

from metarl.adaptation.gradient import GradientDescent
from metarl.config.algorithms import MamlConfig, MamlTrpoConfig, PretrainConfig, PrompConfig, ReptileConfig
from metarl.config.memory import MemoryPolicyConfig, PpoConfig, Rl2Config
from metarl.config.run import PolicyConfig
from metarl.core.prng import Key
from metarl.families.analytic_env import AnalyticVecEnv
from metarl.rl.losses import ratio_surrogate
from metarl.rl.policies import make_policy
from metarl.rl.setup import build_problem

CONFIGS = {
    "maml-trpo": MamlTrpoConfig,
    "maml": MamlConfig,
    "promp": PrompConfig,
    "reptile": ReptileConfig,
    "pretrain": PretrainConfig,
    "rl2": Rl2Config,
}


def rl_setup(family, policy, theta, config, seed=0):
    problem = build_problem(replace(config, episodes=3), family, policy)
    problem.horizon = 8
    tasks = family.sample_tasks(3, "meta-train", Key(seed).generator())
    return problem, tasks


def rl_step(algorithm, family, policy, theta, config, adapter=None):
    """One `meta_step` on three tasks, by gradient descent unless another adapter is given."""
    problem, tasks = rl_setup(family, policy, theta, config)
    adapter = adapter or GradientDescent(config.inner.lr, first_order=config.inner.first_order)
    state = algorithm.initial_state(theta, config)
    return algorithm.meta_step(state, problem, tasks, Key(5), adapter, config, 0.0)


def surrogate(policy):
    return lambda params, batch: ratio_surrogate(policy.act(params, batch.observations)[0], batch)


def tiny(algorithm, **changes):
    policy = MemoryPolicyConfig(memory_size=6) if algorithm == "rl2" else PolicyConfig()
    few = {"ppo": PpoConfig(minibatches=2)} if algorithm == "rl2" else {}
    config = CONFIGS[algorithm](
        variant="finn17", meta_batch_size=3, episodes=3, iterations=4, checkpoint_every=2, validation_tasks=1,
        policy=replace(policy, hidden_sizes=(8,)), **few,
    )  # fmt: skip
    return replace(config, **changes)


def setup(family, tasks, episodes, dtype=torch.float32):
    policy = make_policy(family.observation_space, family.action_space, hidden_sizes=(4,))
    theta = {k: v.to(dtype) for k, v in policy.initialise(Key.from_seed(1)).items()}
    return policy, theta, AnalyticVecEnv(family, tasks, episodes, dtype=dtype)

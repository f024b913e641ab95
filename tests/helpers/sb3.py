import numpy as np
import torch

from metarl.adaptation.parameters import initial_theta
from metarl.config.run import InnerConfig, PolicyConfig
from metarl.config.sb3 import ReptileSb3Config, Sb3Options
from metarl.runs.checkpoint import load_selected
from metarl.sb3.setup import setup

FAST_PPO = Sb3Options(timesteps=64, settings='{"n_steps": 32, "batch_size": 32, "n_epochs": 2}')


def tiny(config_type=ReptileSb3Config, family="navigation2d", **options):
    options = {"sb3": FAST_PPO, "inner": InnerConfig(lr=1e-3, steps=1)} | options
    variant = "finn17" if family == "navigation2d" else None
    return config_type(
        family=family, variant=variant, iterations=2, meta_batch_size=2, episodes=2, validation_tasks=0,
        checkpoint_every=1,
        policy=PolicyConfig(hidden_sizes=(8,)), **options,
    )  # fmt: skip


def drawn_by(config, seed=None):
    """The parameters that a run of the configuration begins with."""
    opened = setup(config)
    return initial_theta(
        opened.adapter(), opened.model, config.seed if seed is None else seed, torch.device("cpu"), torch.float32
    )


def theta_of(run):
    return load_selected(run)[0]["theta"]


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(value, b[name]) for name, value in a.items())


SAME_POLICY = "--policy.hidden-sizes 8 6 --policy.activation tanh"


def observations_of(family, n=50):
    return np.random.default_rng(0).normal(size=(n, *family.observation_space.shape)).astype(np.float32)


def distribution_of(agent, observations):
    rows = torch.as_tensor(observations)[None].to(next(iter(agent.params.values())).dtype)
    return agent.policy.act({name: value[None] for name, value in agent.params.items()}, rows)[0]

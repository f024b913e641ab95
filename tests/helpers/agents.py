"""Agents without a run: untrained, but with every kind of parameter away from its default."""

import torch

from metarl.adaptation.gradient import gradient_adapter
from metarl.adaptation.parameters import initial_theta
from metarl.agent import Agent
from metarl.config.memory import MemoryPolicyConfig, Rl2Config
from metarl.config.run import InnerConfig, PolicyConfig, TrainConfig
from metarl.core.machine import DTYPES
from metarl.core.params import MEMORY, RATE, STATISTICS
from metarl.core.prng import Key
from metarl.memory_agent import MemoryAgent
from metarl.rl.setup import build_policy, memory_policy, spaces_from

BOX = {"low": [-1.0, None], "high": [0.25, None]}
"""Two actions; the first has bounds, and the second has none."""

CHOICES = {"discrete": 3, "start": 2}


def shaken(theta, dtype):
    """Parameters with noise, so that no bias, context or rate is at its start; variances and rates stay positive."""
    generator = torch.Generator().manual_seed(5)
    changed = {}
    for name, value in theta.items():
        noise = 0.3 * torch.randn(value.shape, generator=generator, dtype=torch.float64)
        if name.startswith(MEMORY):
            noise = noise.abs()
        positive = name.startswith((RATE, STATISTICS)) and not name.endswith("mean")
        changed[name] = (value.double() * noise.exp() if positive else value.double() + noise).to(dtype)
    return changed


def agent(action=BOX, *, size=5, horizon=20, dtype="float32", inner=None, shake=True, **policy):
    """An agent that adapts by gradients."""
    config = TrainConfig(
        dtype=dtype, inner=inner or InnerConfig(lr=0.05), policy=PolicyConfig(hidden_sizes=(8, 6), **policy)
    )
    description = {"observation_size": size, "action": action}
    built = build_policy(config, *spaces_from(description))
    theta = initial_theta(gradient_adapter(config.inner), built, 1, torch.device("cpu"), DTYPES[dtype])
    return Agent(config, shaken(theta, DTYPES[dtype]) if shake else theta, description, horizon)


def memory_agent(action=BOX, *, size=5, dtype="float32", **policy):
    """An agent that adapts by memory."""
    sizes = {"memory_size": 7, "hidden_sizes": (6,)}
    config = Rl2Config(dtype=dtype, policy=MemoryPolicyConfig(**(sizes | policy)))
    description = {"observation_size": size, "action": action}
    built = memory_policy(config, *spaces_from(description))
    return MemoryAgent(config, shaken(built.initialise(Key.from_seed(1)), DTYPES[dtype]), description)

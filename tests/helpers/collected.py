"""Data of three tasks on 2-D navigation, collected while they adapt, in float64."""

from dataclasses import replace

import torch

from metarl.adaptation.adapter import initial_state, replay
from metarl.adaptation.gradient import gradient_adapter
from metarl.adaptation.parameters import initial_theta
from metarl.config.algorithms import MamlTrpoConfig
from metarl.config.run import PolicyConfig
from metarl.core.machine import DTYPES
from metarl.core.prng import Key
from metarl.rl.setup import build_family, build_policy, build_problem


def distribution_of(problem, adapter, supports, query, tasks):
    return lambda at: problem.distribution(replay(problem.inner_loss, at, supports, adapter, tasks), query)


def collected(changes, episodes=4):
    """A problem, theta, an inner rule, and data of three tasks, in float64."""
    defaults = {"family": "navigation2d", "variant": "finn17", "policy": PolicyConfig((6,)), "dtype": "float64"}
    config = MamlTrpoConfig(**defaults | changes)
    family = build_family(config)
    policy = build_policy(config, family.observation_space, family.action_space)
    problem = build_problem(replace(config, episodes=episodes), family, policy)
    adapter = gradient_adapter(config.inner)
    theta = initial_theta(adapter, policy, 1, torch.device("cpu"), DTYPES[config.dtype])
    at, data, tasks = initial_state(theta, 3), [], family.sample_tasks(3, "meta-train", Key(1).generator())
    for step in range(config.inner.steps + 1):
        data.append(problem.collect(at.params, tasks, Key(2).at(step)).data)
        at = at._replace(params=replay(problem.inner_loss, theta, data, adapter, 3))
    return problem, theta, adapter, data[:-1], data[-1]

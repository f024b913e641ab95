"""Sampling a family end to end: policy, environments, random numbers and bookkeeping, whole rollouts at a time.

Steps of all lanes count, also of those whose episode has ended while others go on; transitions are what is kept.
"""

from __future__ import annotations

import os
import statistics
import time
from typing import Any

import numpy as np
import torch

from metarl.adaptation.adapter import stack
from metarl.config.run import PolicyConfig
from metarl.core.machine import keep_freed_memory
from metarl.core.prng import Key
from metarl.families.family import TaskFamily
from metarl.families.vec_env import make_vec_env
from metarl.rl.policies import make_policy
from metarl.rl.rollouts import rollout

WARM_UP = 3
WANTED = {
    "point-direction": 1e6,
    "coupled-direction": 1e6,
    "point-robot": 1e6,
    "sparse-point-robot": 1e6,
    "point-corner": 1e6,
    "cartpole": 1e6,
    "pendulum": 1e6,
    "tabular-mdp": 5e5,
    "bernoulli-bandit": 2e5,
}
"""Steps of lanes a second, on two cores."""


def measure(family: TaskFamily, tasks: int, episodes: int, repetitions: int) -> dict[str, Any]:
    """Median steps and transitions a second of rollouts under an untrained policy of the default size."""
    keep_freed_memory()  # as training does
    policy = make_policy(family.observation_space, family.action_space, hidden_sizes=PolicyConfig().hidden_sizes)
    theta = {name: value.float() for name, value in policy.initialise(Key.from_seed(1)).items()}
    drawn = family.sample_tasks(tasks, "meta-train", np.random.default_rng(0))
    envs = make_vec_env(family, drawn, episodes, device="cpu", dtype=torch.float32)
    steps, transitions = [], []
    for i in range(WARM_UP + repetitions):
        start = time.perf_counter()
        found = rollout(envs, policy, stack(theta, tasks), Key(i), horizon=family.horizon)
        seconds = time.perf_counter() - start
        steps.append(found.mask.numel() / seconds)
        transitions.append(found.transitions / seconds)
    envs.close()
    rate, wanted = statistics.median(steps[WARM_UP:]), WANTED.get(family.name)
    return {
        "family": family.name,
        "variant": family.variant,
        "horizon": family.horizon,
        "lanes": f"{tasks} tasks x {episodes} episodes",
        "torch_threads": torch.get_num_threads(),
        "steps_per_second": rate,
        "transitions_per_second": statistics.median(transitions[WARM_UP:]),
        "wanted": wanted,
        "verdict": None if wanted is None else "met" if rate >= wanted else "missed",
    }


def report(result: dict[str, Any]) -> str:
    """The numbers as text."""
    rate, wanted = result["steps_per_second"], result["wanted"]
    lines = [
        f"machine: {os.cpu_count()} cores (load {os.getloadavg()[0]:.2f} at the end), torch {torch.__version__} with "
        f"{result['torch_threads']} threads",
        f"workload: {result['family']} {result['variant'] or ''}, {result['lanes']} x {result['horizon']} steps, "
        "64-64 tanh policy",
        f"{rate:,.0f} steps of lanes/s, {result['transitions_per_second']:,.0f} transitions/s",
    ]
    if wanted is not None:
        lines.append(f"{result['verdict']}: wanted at least {wanted:,.0f} steps of lanes/s on 2 cores")
    return "\n".join(lines)

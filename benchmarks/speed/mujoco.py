"""Sampling a MuJoCo family against `mujoco.rollout` alone and against gymnasium's AsyncVectorEnv, in one run.

All three step the same body on the same cores. The library's rate includes policy, reward, resets and bookkeeping;
the rollout alone steps as many lanes, as many at a time, under random controls. Repetitions take turns, so that
whatever else the machine does meets all of them.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from typing import Any

import gymnasium
import mujoco
import numpy as np
import torch
from mujoco import rollout as mujoco_rollout

from metarl.adaptation.adapter import stack
from metarl.core.prng import Key
from metarl.families.mujoco import MujocoFamily, usable_cores
from metarl.families.tasks import task_at
from metarl.families.vec_env import make_vec_env
from metarl.rl.policies import make_policy
from metarl.rl.rollouts import rollout

ASYNC_ENVS = 8
WANTED = {"of mujoco.rollout alone": 0.85, "times gymnasium's AsyncVectorEnv": 8.0}


def measure(family: MujocoFamily, tasks: int, episodes: int, repetitions: int) -> dict[str, Any]:
    """Median steps a second of each, all lanes together, and the library's ratios to the others."""
    sources = {
        "library": library(family, tasks, episodes),
        "mujoco.rollout alone": physics(family, tasks, episodes),
        "AsyncVectorEnv": asynchronous(family),
    }
    rates: dict[str, list[float]] = {name: [] for name in sources}
    for source in sources.values():
        next(source)  # the first one warms up
    for _ in range(repetitions):
        for name, source in sources.items():
            rates[name].append(next(source))
    for source in sources.values():
        source.close()
    median = {name: statistics.median(values) for name, values in rates.items()}
    ratios = (median["library"] / median["mujoco.rollout alone"], median["library"] / median["AsyncVectorEnv"])
    return {
        "family": family.name,
        "variant": family.variant,
        "lanes": f"{tasks} tasks x {episodes} episodes",
        "threads": {"mujoco": usable_cores(), "torch": torch.get_num_threads()},
        "steps_per_second": median,
        "ratios": dict(zip(WANTED, ratios, strict=True)),
    }


def library(family: MujocoFamily, tasks: int, episodes: int) -> Iterator[float]:
    """Rates of whole rollouts under an untrained policy of the published size."""
    policy = make_policy(family.observation_space, family.action_space, hidden_sizes=(100, 100), activation="relu")
    theta = {name: value.float() for name, value in policy.initialise(Key.from_seed(1)).items()}
    drawn = family.sample_tasks(tasks, "meta-train", np.random.default_rng(0))
    envs = make_vec_env(family, drawn, episodes, device="cpu", dtype=torch.float32)
    try:
        for i in range(10**9):
            start = time.perf_counter()
            found = rollout(envs, policy, stack(theta, tasks), Key(i), horizon=family.horizon)
            yield found.mask.numel() / (time.perf_counter() - start)
    finally:
        envs.close()


def physics(family: MujocoFamily, tasks: int, episodes: int) -> Iterator[float]:
    """Rates of `mujoco.rollout` over an episode of as many lanes, random controls drawn beforehand."""
    envs, threads, model = tasks * episodes, usable_cores(), family.model
    drawn = family.sample_tasks(tasks, "meta-train", np.random.default_rng(0))
    models = [family.model_for(task_at(drawn, i // episodes)) for i in range(envs)]
    data = [mujoco.MjData(model) for _ in range(threads)]
    state = np.zeros((envs, mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_FULLPHYSICS.value)))
    state[:, 1 : 1 + model.nq] = model.qpos0
    rng = np.random.default_rng(0)
    controls = family.control(rng.uniform(-1, 1, (family.horizon * envs, model.nu)) * family.action_bound)
    controls = np.repeat(controls.reshape(family.horizon, envs, 1, model.nu), family.frame_skip, 2)
    with mujoco_rollout.Rollout(nthread=threads) as pool:
        while True:
            start, current = time.perf_counter(), state
            for control in controls:
                states, _ = pool.rollout(models, data, current, control)
                current = states[:, -1]
            yield family.horizon * envs / (time.perf_counter() - start)


def asynchronous(family: MujocoFamily) -> Iterator[float]:
    """Rates of gymnasium's stock environment, a process each."""
    envs = gymnasium.vector.AsyncVectorEnv([lambda: gymnasium.make(family.env_id, **family.env_options)] * ASYNC_ENVS)
    envs.action_space.seed(0)
    actions = [envs.action_space.sample() for _ in range(family.horizon)]
    try:
        while True:
            envs.reset(seed=0)
            start = time.perf_counter()
            for action in actions:
                envs.step(action)
            yield family.horizon * ASYNC_ENVS / (time.perf_counter() - start)
    finally:
        envs.close()


def report(result: dict[str, Any]) -> str:
    """The numbers as text."""
    threads = result["threads"]
    lines = [
        f"machine: {usable_cores()} cores (load {os.getloadavg()[0]:.2f} at the end), MuJoCo {mujoco.__version__} with "
        f"{threads['mujoco']} threads, torch {torch.__version__} with {threads['torch']}",
        f"workload: {result['family']} {result['variant']}, {result['lanes']}, 100-100 relu policy; "
        f"AsyncVectorEnv: {ASYNC_ENVS} environments",
        "",
    ]
    lines += [f"{name:22}{rate:>12,.0f} steps/s" for name, rate in result["steps_per_second"].items()]
    for name, ratio in result["ratios"].items():
        verdict = "met" if ratio >= WANTED[name] else "missed"
        lines.append(f"{verdict:7}the library has {ratio:.2f} {name}, wanted at least {WANTED[name]:g}")
    return "\n".join(lines)

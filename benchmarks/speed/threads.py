"""Sampling under each number of torch's threads, of the MuJoCo pool's and of workers, in turns within one run.

`python -m benchmarks.speed.threads` prints median steps a second of whole rollouts, policy included, for the choice of
`HostLanes.torch_threads`, of a pool's size and of `--workers`. Elsewhere than in rollouts torch keeps its threads.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import torch
import tyro
from gymnasium import spaces

from benchmarks.speed.workers import VARIED
from metarl.adaptation.adapter import stack
from metarl.core.prng import Key
from metarl.families.declared import declare_family
from metarl.families.family import TaskFamily
from metarl.families.mujoco import MujocoFamily, MujocoVectorEnv, usable_cores
from metarl.families.registry import load_family
from metarl.families.vec_env import GymVecEnv, make_vec_env
from metarl.rl.policies import make_policy
from metarl.rl.rollouts import rollout


@dataclass(frozen=True)
class Options:
    """Measure choices of threads."""

    family: str = "cheetah-vel"
    """A MuJoCo family; the ordinary environment is gymnasium's Pendulum-v1."""
    tasks: int = 20
    """Tasks."""
    episodes: int = 20
    """Episode lanes of each."""
    steps: int = 50
    """Steps of all lanes in a rollout."""
    repetitions: int = 5
    """Repetitions, after one to warm up."""


def sampling(family: TaskFamily, envs: GymVecEnv, torch_threads: int, steps: int) -> Generator[float]:
    """Rates of rollouts under an untrained policy of the published size."""
    policy = make_policy(family.observation_space, family.action_space, hidden_sizes=(100, 100), activation="relu")
    theta = {name: value.float() for name, value in policy.initialise(Key.from_seed(1)).items()}
    envs.torch_threads = torch_threads
    try:
        for i in range(10**9):
            start = time.perf_counter()
            rollout(envs, policy, stack(theta, envs.tasks), Key(i), horizon=steps)
            yield steps * envs.tasks * envs.episodes / (time.perf_counter() - start)
    finally:
        envs.close()


def choices(options: Options) -> dict[str, Generator[float]]:
    """Every combination, by what it is called."""
    body = load_family(options.family)
    if not isinstance(body, MujocoFamily):
        raise SystemExit(f"--family = {options.family}; expected a MuJoCo family")
    entry, low, high = VARIED["Pendulum-v1"]
    generic = declare_family("Pendulum-v1", spaces.Dict({entry: spaces.Box(low, high, ())}), horizon=options.steps)
    counts = sorted({1, usable_cores()})
    found = {}
    for threads in counts:
        for pool in counts:
            tasks = body.sample_tasks(options.tasks, "meta-train", np.random.default_rng(0))
            env = MujocoVectorEnv(body, tasks, options.episodes, threads=pool)
            envs = GymVecEnv(env, options.tasks, family=body)
            name = f"{body.name}, pool of {pool}, torch {threads}"
            found[name] = sampling(body, envs, threads, options.steps)
        for workers in (0, *counts):
            tasks = generic.sample_tasks(options.tasks, "meta-train", np.random.default_rng(0))
            made = make_vec_env(
                generic, tasks, options.episodes, device="cpu", dtype=torch.float32, workers=workers, timeout=600
            )
            assert isinstance(made, GymVecEnv)
            name = f"Pendulum-v1, {workers} workers, torch {threads}"
            found[name] = sampling(generic, made, threads, options.steps)
    return found


def main(arguments: list[str] | None = None) -> None:
    options = tyro.cli(Options, args=arguments)
    sources = choices(options)
    rates: dict[str, list[float]] = {name: [] for name in sources}
    for repetition in range(1 + options.repetitions):
        for name, source in sources.items():
            rate = next(source)
            if repetition:
                rates[name].append(rate)
    for source in sources.values():
        source.close()
    for name, values in sorted(rates.items()):
        print(f"{name:40}{statistics.median(values):>10,.0f} steps/s")


if __name__ == "__main__":
    main()

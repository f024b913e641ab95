"""Sampling by number of torch's threads, of MuJoCo's threads and of worker processes, in turns within one run.

`python -m benchmarks.speed threads` prints median steps a second of whole rollouts, policy included, for each choice of
`GymVecEnv.torch_threads`, of the size of MuJoCo's thread pool and of `--workers`. The choice holds during rollouts.
"""

from __future__ import annotations

import statistics
from collections.abc import Generator
from dataclasses import dataclass
from functools import partial

import numpy as np
from gymnasium import spaces

from benchmarks.speed.harness import TaskOptions, TimedRollout, cpu_envs, in_turns, run_benchmark, timed_rollouts
from benchmarks.speed.workers import VARIED
from metarl.core.errors import ConfigError
from metarl.core.launch import usable_cores
from metarl.families.declared import declare_family
from metarl.families.family import TaskFamily
from metarl.families.mujoco import MujocoFamily, MujocoVectorEnv
from metarl.families.registry import load_family
from metarl.families.vec_env import GymVecEnv


@dataclass(frozen=True)
class Options(TaskOptions):
    """Measure sampling under each choice of threads."""

    family: str = "cheetah-vel"
    """A MuJoCo family; the ordinary environment is gymnasium's Pendulum-v1."""
    steps: int = 50
    """Steps of all sub-environments in a rollout."""
    repetitions: int = 5
    """Repetitions, after one to warm up."""


def sampling(family: TaskFamily, envs: GymVecEnv, torch_threads: int, steps: int) -> Generator[TimedRollout]:
    """Rollouts under an untrained policy of the published size, with so many of torch's threads."""
    envs.torch_threads = torch_threads
    return timed_rollouts(family, envs, hidden_sizes=(100, 100), activation="relu", horizon=steps)


def choices(options: Options) -> dict[str, Generator[TimedRollout]]:
    """Rollouts of every combination, by name."""
    body = load_family(options.family)
    if not isinstance(body, MujocoFamily):
        raise ConfigError(f"--family = {options.family}; expected a MuJoCo family")
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
            made = cpu_envs(generic, options, workers=workers, timeout=600)
            assert isinstance(made, GymVecEnv)
            name = f"Pendulum-v1, {workers} workers, torch {threads}"
            found[name] = sampling(generic, made, threads, options.steps)
    return found


def measure(options: Options) -> dict[str, float]:
    """Median steps a second of every combination, by name."""
    sources = choices(options)
    rollouts = in_turns({name: source.__next__ for name, source in sources.items()}, options.repetitions, warm_up=1)
    for source in sources.values():
        source.close()
    return {name: statistics.median(rate.steps for rate in rates) for name, rates in rollouts.items()}


def report(result: dict[str, float]) -> str:
    """A line for each combination."""
    return "\n".join(f"{name:40}{rate:>10,.0f} steps/s" for name, rate in sorted(result.items()))


main = partial(run_benchmark, "threads", Options, measure, report)

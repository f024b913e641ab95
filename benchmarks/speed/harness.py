"""Shared parts of the speed benchmarks: options, facts of the machine, timed rounds and rollouts, report and JSON."""

from __future__ import annotations

import multiprocessing
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Generator, Hashable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from itertools import count
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np
import torch

from metarl.adaptation.adapter import stack
from metarl.config.validation import check_least
from metarl.console import parse
from metarl.core.machine import check_device
from metarl.core.numbers import write_json
from metarl.core.prng import Key
from metarl.families.family import TaskFamily
from metarl.families.vec_env import VecEnv, make_vec_env
from metarl.rl.policies import make_policy
from metarl.rl.rollouts import rollout

WARM_UP = 2
"""Iterations that are not measured: they load modules and fill caches."""

Name = TypeVar("Name", bound=Hashable)
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class BenchmarkOptions:
    """Options of every benchmark. Whole numbers must be at least one, or at least their entry in `LEAST`."""

    LEAST: ClassVar[Mapping[str, int]] = {}
    json: Path | None = None
    """Write the numbers here; an existing file is overwritten."""


@dataclass(frozen=True, kw_only=True)
class TaskOptions(BenchmarkOptions):
    """Options of the benchmarks that collect episodes."""

    tasks: int = 20
    """Tasks in a meta-batch."""
    episodes: int = 20
    """Episodes of each task, each in a sub-environment of its own."""


Options = TypeVar("Options", bound=BenchmarkOptions)


def run_benchmark(
    name: str,
    options: type[Options],
    measure: Callable[[Options], Result],
    report: Callable[[Result], str],
    arguments: Sequence[str],
) -> None:
    """Parse a command line, measure, print the report, and write the numbers where `--json` asks for them.

    Args:
        name: The benchmark's name after `python -m benchmarks.speed`.
        options: Dataclass of its options.
        measure: Function of the options; its result can be written as JSON.
        report: The result as text.
        arguments: The command line after the name.

    Raises:
        ConfigError: An option is unknown or out of range.
    """
    chosen = parse(options, list(arguments), f"python -m benchmarks.speed {name}")
    check_options(chosen)
    result = measure(chosen)
    print(report(result))
    if chosen.json is not None:
        write_json(chosen.json, result)


def check_options(options: BenchmarkOptions) -> None:
    """Raise ConfigError for a whole number below its least, or a device that this machine lacks."""
    for field in fields(options):
        value = getattr(options, field.name)
        if isinstance(value, int):
            check_least((field.name.replace("_", "-"), value, options.LEAST.get(field.name, 1)))
        elif field.name == "device":
            check_device(value)


def machine() -> dict[str, Any]:
    """Facts of the machine that the timings depend on; the load is that of the minute before."""
    return {
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch_threads": torch.get_num_threads(),
    }


def machine_line(facts: Mapping[str, Any], *, threads: bool = True) -> str:
    """The facts of the machine as a line of text, with torch's threads unless other processes do the work."""
    return (
        f"machine: {facts['cores']} cores (load {facts['load_before']} before), Python {facts['python']}, "
        f"torch {facts['torch']}" + (f" with {facts['torch_threads']} threads" if threads else "")
    )


def peak_memory() -> int:
    """Largest resident size of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def in_own_process(function: Callable[..., Result], *arguments: Any) -> Result:
    """The result of a function in a fresh process, so that the peak memory is its own.

    A child's peak includes the size of its parent when it starts, so the parent should load no data.

    Args:
        function: A function of a module.
        *arguments: Its arguments.

    Raises:
        BrokenProcessPool: The process was killed, for want of memory for instance.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def in_turns(
    measurements: Mapping[Name, Callable[[], Result]], rounds: int, warm_up: int = 0
) -> dict[Name, list[Result]]:
    """Results of each measurement, made once a round, so that other load on the machine affects all of them alike.

    Args:
        measurements: Functions without arguments, by name.
        rounds: Rounds whose results are kept.
        warm_up: Rounds before those, whose results are dropped.
    """
    found: dict[Name, list[Result]] = {name: [] for name in measurements}
    for number in range(warm_up + rounds):
        for name, measurement in measurements.items():
            result = measurement()
            if number >= warm_up:
                found[name].append(result)
    return found


def cpu_envs(family: TaskFamily, options: TaskOptions, **workers: Any) -> VecEnv:
    """Sub-environments of training tasks on the CPU; `workers` are options of `make_vec_env`."""
    tasks = family.sample_tasks(options.tasks, "meta-train", np.random.default_rng(0))
    return make_vec_env(family, tasks, options.episodes, device="cpu", dtype=torch.float32, **workers)


class TimedRollout(NamedTuple):
    """Rates of one rollout, by the second."""

    steps: float
    """Steps of all sub-environments, those whose episode has ended included."""
    transitions: float
    """Transitions of episodes, without the steps after their ends."""


def timed_rollouts(
    family: TaskFamily,
    envs: VecEnv,
    *,
    hidden_sizes: Sequence[int],
    activation: str = "tanh",
    horizon: int | None = None,
) -> Generator[TimedRollout]:
    """Roll out an untrained policy again and again; closing the generator closes the environments.

    Args:
        family: The task family of `envs`.
        envs: Environments of tasks that are set already.
        hidden_sizes: Hidden layers of the policy.
        activation: Its activation function.
        horizon: Steps of a rollout; the family's by default.
    """
    policy = make_policy(
        family.observation_space, family.action_space, hidden_sizes=hidden_sizes, activation=activation
    )
    theta = {name: value.float() for name, value in policy.initialise(Key.from_seed(1)).items()}
    try:
        for number in count():
            start = time.perf_counter()
            episodes = rollout(envs, policy, stack(theta, envs.tasks), Key(number), horizon=horizon or family.horizon)
            seconds = time.perf_counter() - start
            yield TimedRollout(episodes.mask.numel() / seconds, episodes.transitions / seconds)
    finally:
        envs.close()

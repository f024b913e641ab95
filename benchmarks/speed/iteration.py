"""Seconds of one MAML-TRPO iteration on 2-D navigation: the library against the usual way to write it.

`python -m benchmarks.speed iteration` prints the time of both by phase, the sampling rate and the peak memory. Run it
on an otherwise idle machine: where other programs hold the cores, torch's threads wait for one another.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

import torch

from benchmarks.speed import naive
from benchmarks.speed.harness import WARM_UP, TaskOptions, machine, machine_line, peak_memory, run_benchmark
from metarl.adaptation.adapter import stack
from metarl.adaptation.gradient import gradient_adapter
from metarl.adaptation.parameters import initial_theta
from metarl.algorithms import maml_trpo
from metarl.config.algorithms import MamlTrpoConfig
from metarl.config.run import InnerConfig, PolicyConfig
from metarl.core.machine import DTYPES, keep_freed_memory
from metarl.core.params import Params
from metarl.core.prng import Key
from metarl.families.family import TaskFamily
from metarl.families.tasks import Tasks, number_of_tasks
from metarl.rl.policies import Policy
from metarl.rl.problem import ReinforcementLearning
from metarl.rl.setup import build_family, build_policy, build_problem

PHASES = ("collect", "adapt", "gradient", "curvature", "line_search")


@dataclass(frozen=True)
class Options(TaskOptions):
    """Measure one MAML-TRPO iteration, of the library and of a naive implementation."""

    iterations: int = 10
    """Measured iterations of the library, after two to warm up."""
    naive_iterations: int = 1
    """Measured iterations of the naive implementation."""
    variant: Literal["raw-action", "finn17", "wide"] = "raw-action"
    """Variant of 2-D navigation."""
    device: str = "cpu"
    """Device of the library's iterations; the naive implementation stays on the CPU."""


def measure(options: Options) -> dict[str, Any]:
    """Seconds, sampling rates and memory of both implementations, with the facts that they depend on."""
    facts = machine()
    config = MamlTrpoConfig(
        variant=options.variant,
        meta_batch_size=options.tasks,
        episodes=options.episodes,
        device=options.device,
        inner=InnerConfig(lr=0.1, steps=1),
        policy=PolicyConfig(hidden_sizes=(64, 64), activation="tanh"),
    )
    family = build_family(config)
    policy = build_policy(config, family.observation_space, family.action_space)
    theta = initial_theta(
        gradient_adapter(config.inner), policy, config.seed, torch.device(config.device), DTYPES[config.dtype]
    )
    on_cpu = {name: value.cpu() for name, value in theta.items()}
    # The library goes first: the peak of its memory is taken before worker processes start.
    library = measure_library(config, family, policy, theta, options.iterations)
    slow = measure_naive(config, family, on_cpu, options.naive_iterations)
    return {
        "machine": facts,
        "workload": setup(config, family),
        "library": library,
        "naive": slow,
        "ratio": slow["seconds"] / library["seconds"],
    }


def setup(config: MamlTrpoConfig, family: TaskFamily) -> dict[str, Any]:
    """The sizes and options that both implementations share."""
    return {
        "family": config.family,
        "variant": config.variant,
        "tasks": config.meta_batch_size,
        "episodes": config.episodes,
        "horizon": family.horizon,
        "inner": asdict(config.inner),
        "policy": asdict(config.policy),
        "trust_region": asdict(config.trust_region),
    }


def tasks_of(config: MamlTrpoConfig, family: TaskFamily, iteration: int) -> Tasks:
    """The meta-batch of an iteration, the same for both implementations."""
    rng = Key.from_seed(config.seed).at("tasks", iteration).generator()
    return family.sample_tasks(config.meta_batch_size, "meta-train", rng)


def measure_library(
    config: MamlTrpoConfig, family: TaskFamily, policy: Policy, theta: Params, iterations: int
) -> dict[str, Any]:
    """Median seconds of the library's iteration and of its phases, its sampling rates and its peak memory."""
    keep_freed_memory()  # as training does
    problem, adapter = build_problem(config, family, policy), gradient_adapter(config.inner)
    state, root = maml_trpo.initial_state(theta, config), Key.from_seed(config.seed)
    records: list[dict[str, Any]] = []
    for iteration in range(WARM_UP + iterations):
        tasks = tasks_of(config, family, iteration)
        start = time.perf_counter()
        key = root.at("iteration", iteration)
        after, metrics = maml_trpo.meta_step(state, problem, tasks, key, adapter, config, 0.0)
        # The warm-up's results are dropped, so that both implementations measure the same first iteration.
        state = state if iteration < WARM_UP else after
        records.append({**metrics, "total": time.perf_counter() - start})
    kept = records[WARM_UP:]
    collecting = statistics.median(r["transitions"] / r["seconds"]["collect"] for r in kept)
    sampling = measure_sampling(problem, state["theta"], tasks, root.at("sampling"), WARM_UP + iterations)
    problem.close()
    return {
        **median_seconds([r["total"] for r in kept], [r["seconds"] for r in kept]),
        "sampling": sampling,
        "collect_transitions_per_second": collecting,
        "backtracks": statistics.median(r["line_search"]["backtracks"] for r in kept),
        "peak_memory_bytes": peak_memory(),
        "first_return": kept[0]["return"],
    }


def measure_sampling(
    problem: ReinforcementLearning, theta: Params, tasks: Tasks, key: Key, repetitions: int
) -> dict[str, float]:
    """Median rates of the rollout alone: transitions, and steps of all sub-environments, ended ones included."""
    params = stack(theta, number_of_tasks(tasks))
    transitions, env_steps = [], []
    for i in range(repetitions):
        start = time.perf_counter()
        episodes, _ = problem.episodes_of(params, tasks, key.at(i))
        seconds = time.perf_counter() - start
        transitions.append(episodes.transitions / seconds)
        env_steps.append(episodes.mask.numel() / seconds)
    return {
        "transitions_per_second": statistics.median(transitions),
        "lane_steps_per_second": statistics.median(env_steps),
    }


def measure_naive(config: MamlTrpoConfig, family: TaskFamily, theta: Params, iterations: int) -> dict[str, Any]:
    """Median seconds of the naive iteration and of its phases, without those to build the environments."""
    assert config.variant is not None
    torch.manual_seed(config.seed)
    envs = naive.make_envs(config.variant, config.episodes)
    # Nor with those of the workers' first episode, which loads modules.
    naive.rollout(envs, naive.policy_like(theta), theta)
    records, totals = [], []
    for iteration in range(WARM_UP, WARM_UP + iterations):
        tasks = tasks_of(config, family, iteration)
        start = time.perf_counter()
        records.append(naive.meta_step(envs, theta, tasks, config))
        totals.append(time.perf_counter() - start)
        theta = records[-1].theta
    envs.close()
    collecting = statistics.median(r.transitions / r.seconds["collect"] for r in records)
    return {
        **median_seconds(totals, [r.seconds for r in records]),
        "collect_transitions_per_second": collecting,
        "backtracks": statistics.median(r.backtracks for r in records),
        "first_return": records[0].returns,
    }


def median_seconds(totals: list[float], phases: list[dict[str, float]]) -> dict[str, Any]:
    """Number of iterations, median seconds of one, and of each of its phases."""
    return {
        "iterations": len(totals),
        "seconds": statistics.median(totals),
        "phases": {name: statistics.median(p[name] for p in phases) for name in PHASES},
    }


def report(result: dict[str, Any]) -> str:
    """The numbers as text."""
    facts, work, library, slow = (result[name] for name in ("machine", "workload", "library", "naive"))
    lines = [
        machine_line(facts),
        f"setup: {work['family']} {work['variant']}, {work['tasks']} tasks x {work['episodes']} episodes "
        f"x {work['horizon']} steps, 64-64 tanh policy, one inner step, lr 0.1",
        "",
        f"{'median seconds':<16}{'library':>10}{'naive':>10}{'ratio':>8}",
    ]
    for name in PHASES:
        lines.append(_row(name, library["phases"][name], slow["phases"][name]))
    lines += [
        _row("iteration", library["seconds"], slow["seconds"]),
        f"{'iterations':<16}{library['iterations']:>10}{slow['iterations']:>10}",
        f"{'backtracks':<16}{library['backtracks']:>10g}{slow['backtracks']:>10g}",
        f"return in the first iteration, before and after adaptation: {_returns(library)} (naive {_returns(slow)})",
        "",
        f"rollout alone: {library['sampling']['transitions_per_second']:,.0f} transitions/s, "
        f"{library['sampling']['lane_steps_per_second']:,.0f} sub-environment steps/s",
        f"collecting, advantages included: {library['collect_transitions_per_second']:,.0f} transitions/s "
        f"(naive {slow['collect_transitions_per_second']:,.0f})",
        f"peak memory of the library: {library['peak_memory_bytes'] / 1e9:.2f} GB",
    ]
    return "\n".join(lines)


def _returns(side: dict[str, Any]) -> str:
    return ", ".join(f"{value:.1f}" for value in side["first_return"])


def _row(name: str, library: float, slow: float) -> str:
    return f"{name:<16}{library:>10.4f}{slow:>10.3f}{slow / library:>8.1f}"


main = partial(run_benchmark, "iteration", Options, measure, report)

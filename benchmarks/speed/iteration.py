"""Seconds of one MAML-TRPO iteration on 2-D navigation: the library against the usual way to write it.

`python -m benchmarks.speed.iteration` prints both by phase, the sampling rate and the peak memory, and says
whether the numbers wanted of the default workload on two cores are met. `--family NAME` measures the sampling of
another family alone: of one on MuJoCo beside MuJoCo itself (see mujoco_throughput), of others see sampling_throughput;
`--fewshot` supervised meta-gradients (see fewshot.throughput); `--seeds` several seeds by one command (see
seeds_throughput). Run it on an otherwise idle machine: where other programs hold the cores, torch's threads wait for
one another and every number is worthless.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import tyro

from benchmarks.speed import naive
from metarl.adaptation.adapter import stack
from metarl.adaptation.gradient import gradient_adapter
from metarl.adaptation.parameters import initial_theta
from metarl.algorithms import maml_trpo
from metarl.config.algorithms import MamlTrpoConfig
from metarl.config.run import InnerConfig, PolicyConfig
from metarl.core.errors import ConfigError
from metarl.core.machine import DTYPES, check_device, keep_freed_memory
from metarl.core.params import Params
from metarl.core.prng import Key
from metarl.families.family import TaskFamily
from metarl.families.tasks import Tasks
from metarl.rl.policies import Policy
from metarl.rl.problem import ReinforcementLearning
from metarl.rl.setup import build_family, build_policy, build_problem

WARM_UP = 2
PHASES = ("collect", "adapt", "gradient", "curvature", "line_search")


@dataclass(frozen=True)
class Options:
    """Measure one MAML-TRPO iteration, of the library and of a naive implementation."""

    iterations: int = 10
    """Measured iterations of the library, after two to warm up."""
    naive_iterations: int = 1
    """Measured iterations of the naive implementation."""
    tasks: int = 20
    """Tasks in each iteration."""
    episodes: int = 20
    """Episodes of each task, before and after adaptation."""
    family: str = "navigation2d"
    """navigation2d, or another family, of which sampling is measured."""
    variant: Literal["raw-action", "finn17", "wide"] = "raw-action"
    """Variant of navigation2d; others are measured in their default, or as NAME:VARIANT."""
    device: str = "cpu"
    """Device of the library's iterations; the naive implementation stays on the CPU."""
    json: Path | None = None
    """Write the numbers here."""


def main(arguments: Sequence[str] | None = None) -> None:
    given = list(sys.argv[1:] if arguments is None else arguments)
    if "--seeds" in given:
        from benchmarks.speed.seeds import main as measure_seeds

        given.remove("--seeds")
        return measure_seeds(given)
    if "--fewshot" in given:
        from benchmarks.speed.fewshot import main as measure_fewshot

        given.remove("--fewshot")
        return measure_fewshot(given)
    options = tyro.cli(Options, args=given)
    if min(options.iterations, options.naive_iterations, options.tasks, options.episodes) < 1:
        raise SystemExit("--iterations, --naive-iterations, --tasks, --episodes: expected at least 1")
    if options.family != "navigation2d":
        return measure_sampling_of(options)
    try:
        check_device(options.device)
    except ConfigError as error:
        raise SystemExit(str(error)) from None
    # First of all, so that the load is that of others.
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
    result: dict[str, Any] = {"machine": facts, "workload": setup(config, family)}
    cpu = {name: value.cpu() for name, value in theta.items()}
    # The library goes first: the peak of its memory is taken before worker processes start.
    result["library"] = measure_library(config, family, policy, theta, options.iterations)
    result["naive"] = measure_naive(config, family, cpu, options.naive_iterations)
    result["ratio"] = result["naive"]["seconds"] / result["library"]["seconds"]
    result["wanted"] = wanted(result)
    print(report(result))
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def measure_sampling_of(options: Options) -> None:
    """Sampling of a family alone."""
    from metarl.families.mujoco import MujocoFamily
    from metarl.families.registry import load_family

    family = load_family(options.family)
    if isinstance(family, MujocoFamily):
        from benchmarks.speed import mujoco as mujoco_throughput

        result = mujoco_throughput.measure(family, options.tasks, options.episodes, options.iterations)
        print(mujoco_throughput.report(result))
    else:
        from benchmarks.speed import sampling as sampling_throughput

        result = sampling_throughput.measure(family, options.tasks, options.episodes, options.iterations)
        print(sampling_throughput.report(result))
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def machine() -> dict[str, Any]:
    """What the timings depend on."""
    return {
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch_threads": torch.get_num_threads(),
    }


def setup(config: MamlTrpoConfig, family: TaskFamily) -> dict[str, Any]:
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
    """The meta-batch of an iteration; those after the warm-up serve both implementations."""
    rng = Key.from_seed(config.seed).at("tasks", iteration).generator()
    return family.sample_tasks(config.meta_batch_size, "meta-train", rng)


def measure_library(
    config: MamlTrpoConfig, family: TaskFamily, policy: Policy, theta: Params, iterations: int
) -> dict[str, Any]:
    """Median seconds of an iteration and of its phases, sampling rates and peak memory of the library."""
    keep_freed_memory()  # as training does
    problem, adapter = build_problem(config, family, policy), gradient_adapter(config.inner)
    state, root = maml_trpo.initial_state(theta, config), Key.from_seed(config.seed)
    records: list[dict[str, Any]] = []
    for iteration in range(WARM_UP + iterations):
        tasks = tasks_of(config, family, iteration)
        start = time.perf_counter()
        key = root.at("iteration", iteration)
        after, metrics = maml_trpo.meta_step(state, problem, tasks, key, adapter, config, 0.0)
        # The warm-up leaves no trace, so that both implementations measure the same first iteration.
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
    """Median rates of the rollout alone: transitions, and steps of all lanes, ended ones included."""
    params = stack(theta, len(tasks["goal"]))
    transitions, lane_steps = [], []
    for i in range(repetitions):
        start = time.perf_counter()
        episodes, _ = problem.episodes_of(params, tasks, key.at(i))
        seconds = time.perf_counter() - start
        transitions.append(episodes.transitions / seconds)
        lane_steps.append(episodes.mask.numel() / seconds)
    return {
        "transitions_per_second": statistics.median(transitions),
        "lane_steps_per_second": statistics.median(lane_steps),
    }


def measure_naive(config: MamlTrpoConfig, family: TaskFamily, theta: Params, iterations: int) -> dict[str, Any]:
    """Median seconds of an iteration and of its phases; building the environments is not counted."""
    assert config.variant is not None
    torch.manual_seed(config.seed)
    envs = naive.make_envs(config.variant, config.episodes)
    # The workers' first episode, and the modules that it loads, are not counted either.
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
    return {
        "iterations": len(totals),
        "seconds": statistics.median(totals),
        "phases": {name: statistics.median(p[name] for p in phases) for name in PHASES},
    }


def peak_memory() -> int:
    """Largest resident size of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def wanted(result: dict[str, Any]) -> list[dict[str, Any]]:
    """The numbers wanted of the default workload on two cores, and whether they are met here."""
    library = result["library"]
    rate = library["sampling"]["transitions_per_second"]
    rows = [
        ("seconds an iteration", library["seconds"], "at most", 0.45),
        ("times faster than naive", result["ratio"], "at least", 15.0),
        ("transitions sampled a second", rate, "at least", 1e6),
        ("bytes of memory", library["peak_memory_bytes"], "below", 1.5e9),
    ]
    return [
        {
            "name": name,
            "value": value,
            "wanted": f"{relation} {bound:g}",
            "verdict": "met" if (value >= bound if relation == "at least" else value <= bound) else "missed",
        }
        for name, value, relation, bound in rows
    ]


def report(result: dict[str, Any]) -> str:
    """The numbers as text."""
    facts, work, library, slow = (result[name] for name in ("machine", "workload", "library", "naive"))
    lines = [
        f"machine: {facts['cores']} cores (load {facts['load_before']} before), Python {facts['python']}, "
        f"torch {facts['torch']} with {facts['torch_threads']} threads",
        f"workload: {work['family']} {work['variant']}, {work['tasks']} tasks x {work['episodes']} episodes "
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
        f"{library['sampling']['lane_steps_per_second']:,.0f} lane steps/s",
        f"collecting, advantages included: {library['collect_transitions_per_second']:,.0f} transitions/s "
        f"(naive {slow['collect_transitions_per_second']:,.0f})",
        f"peak memory of the library: {library['peak_memory_bytes'] / 1e9:.2f} GB",
        "",
        "wanted of the default workload on 2 cores:",
    ]
    for row in result["wanted"]:
        lines.append(f"  {row['verdict']:<7}{row['name']}: {row['value']:.4g}, wanted {row['wanted']}")
    return "\n".join(lines)


def _returns(side: dict[str, Any]) -> str:
    return ", ".join(f"{value:.1f}" for value in side["first_return"])


def _row(name: str, library: float, slow: float) -> str:
    return f"{name:<16}{library:>10.4f}{slow:>10.3f}{slow / library:>8.1f}"


if __name__ == "__main__":
    main()

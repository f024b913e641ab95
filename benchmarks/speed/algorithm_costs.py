"""Seconds of an iteration of each method, and the share of its own forward and backward passes.

`python -m benchmarks.speed algorithm-costs` times each method of `benchmarks.results.methods` on 2-D navigation, and
takes the kernels of the network alone (matrix products, activations and their derivatives) from a profile of the same
iteration. Their quotient is the cost of everything else: environments, random numbers, advantages, losses, updates.
Run it on an otherwise idle machine.
"""

from __future__ import annotations

import importlib
import statistics
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.results.methods import METHODS, SUITES, Method, Suite
from benchmarks.speed.harness import WARM_UP, BenchmarkOptions, in_turns, run_benchmark
from metarl.adaptation.gradient import gradient_adapter
from metarl.adaptation.parameters import initial_theta
from metarl.config.registry import find_algorithm
from metarl.core.machine import DTYPES, keep_freed_memory
from metarl.core.prng import Key
from metarl.rl.setup import build_family, build_policy, build_problem

NETWORK_KERNELS = {
    "aten::bmm",
    "aten::baddbmm",
    "aten::mm",
    "aten::addmm",
    "aten::relu",
    "aten::clamp_min",
    "aten::threshold_backward",
    "aten::tanh",
    "aten::tanh_backward",
}
LEARNING = ("adapt", "gradient", "difference", "curvature", "line_search")
ROWS = (
    "joint training",
    "Reptile",
    "first-order MAML",
    "ANIL",
    "ANIL, first-order",
    "Meta-SGD",
    "CAVIA",
    "MAML",
    "ProMP",
    "MAML-TRPO",
)


@dataclass(frozen=True)
class Options(BenchmarkOptions):
    """Measure one iteration of every method."""

    iterations: int = 10
    """Measured iterations, after two to warm up."""
    tasks: int = 20
    """Tasks in each iteration."""
    samples: int = 2000
    """Transitions of each task in each collection."""


def measure(options: Options) -> dict[str, dict[str, Any]]:
    """The costs of every method, by name."""
    keep_freed_memory()  # as training does
    return {name: costs_of(method_of(name), options) for name in ROWS}


def _first_order_anil(suite: Suite, outer_lr: float, inner_lr: float) -> Any:
    config = METHODS["ANIL"].configuration(suite, outer_lr, inner_lr)
    return replace(config, inner=replace(config.inner, first_order=True))


def method_of(name: str) -> Method:
    """The method of a row: one of the tables' or first-order ANIL."""
    return Method("maml", _first_order_anil, 3e-3) if name == "ANIL, first-order" else METHODS[name]


def costs_of(method: Method, options: Options) -> dict[str, Any]:
    """Median seconds of an iteration, of its outer phase and of its learning, and those of the network's kernels."""
    suite = replace(SUITES["navigation2d"], samples_per_step=options.samples)
    config = replace(
        method.configuration(suite, method.outer_start, suite.inner_lr * method.inner_factor),
        meta_batch_size=options.tasks,
    )
    family = build_family(config)
    policy = build_policy(config, family.observation_space, family.action_space)
    problem, adapter = build_problem(config, family, policy), gradient_adapter(config.inner)
    algorithm = importlib.import_module(find_algorithm(method.algorithm).module)
    state = algorithm.initial_state(
        initial_theta(
            gradient_adapter(config.inner), policy, config.seed, torch.device(config.device), DTYPES[config.dtype]
        ),
        config,
    )
    tasks = family.sample_tasks(options.tasks, "meta-train", Key.from_seed(1).generator())

    def iteration() -> tuple[float, dict[str, Any]]:
        start = time.perf_counter()
        # The same iteration again and again: its new state is dropped.
        _, metrics = algorithm.meta_step(state, problem, tasks, Key.from_seed(1), adapter, config, 0.0)
        return time.perf_counter() - start, metrics

    (records,) = in_turns({"iteration": iteration}, options.iterations, WARM_UP).values()
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        iteration()
    problem.close()
    passes = sum(e.self_cpu_time_total for e in profiled.key_averages() if e.key in NETWORK_KERNELS) / 1e6
    seconds = statistics.median(total for total, _ in records)
    return {
        "seconds": seconds,
        "transitions": records[0][1]["transitions"],
        "outer_seconds": statistics.median(
            sum(m["seconds"].get(p, 0.0) for p in LEARNING if p != "adapt") for _, m in records
        ),
        "learning_seconds": statistics.median(sum(m["seconds"].get(p, 0.0) for p in LEARNING) for _, m in records),
        "network_seconds": passes,
        "ratio": seconds / passes,
    }


def report(costs: dict[str, dict[str, Any]]) -> str:
    """The costs as Markdown; the last column is for the budget of the tables, 8M steps."""
    lines = [
        f"torch {torch.__version__}, {torch.get_num_threads()} threads",
        "",
        "| method | iteration | outer phase | learning | network's passes | iteration / passes | 8M steps |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, c in costs.items():
        whole = c["seconds"] * 8e6 / c["transitions"]
        parts = (c[key] * 1000 for key in ("seconds", "outer_seconds", "learning_seconds", "network_seconds"))
        lines.append(
            f"| {name} | " + " | ".join(f"{p:.0f} ms" for p in parts) + f" | {c['ratio']:.2f} | {whole:.0f} s |"
        )
    if {"MAML", "first-order MAML", "ANIL"} <= costs.keys():
        outer = {name: costs["MAML"]["outer_seconds"] / c["outer_seconds"] for name, c in costs.items()}
        lines += ["", f"MAML's outer phase takes {outer['first-order MAML']:.1f} times that of first-order MAML and "
                  f"{outer['ANIL']:.1f} times that of ANIL."]  # fmt: skip
    return "\n".join(lines)


main = partial(run_benchmark, "algorithm-costs", Options, measure, report)

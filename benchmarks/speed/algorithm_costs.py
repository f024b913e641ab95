"""What an iteration of each method costs, and how much of it its own forward and backward passes need.

`python -m benchmarks.speed.algorithm_costs` times each method of `benchmarks.results.methods` on 2-D navigation, and beside it the
kernels of the network alone (matrix products, activations and their derivatives), taken from a profile of the same
iteration. Their quotient says what everything else costs: environments, random numbers, advantages, losses, updates.
Run it on an otherwise idle machine.
"""

from __future__ import annotations

import importlib
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import tyro
from torch.profiler import ProfilerActivity, profile

from benchmarks.results.methods import METHODS, SUITES, Method, Suite
from metarl.adaptation.gradient import gradient_adapter
from metarl.adaptation.parameters import initial_theta
from metarl.config.registry import find_algorithm
from metarl.core.machine import DTYPES, keep_freed_memory
from metarl.core.prng import Key
from metarl.rl.setup import build_family, build_policy, build_problem

WARM_UP = 2
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
class Options:
    """Measure one iteration of every method."""

    iterations: int = 10
    """Measured iterations, after two to warm up."""
    tasks: int = 20
    """Tasks in each iteration."""
    samples: int = 2000
    """Transitions of each task in each collection."""
    json: Path | None = None
    """Write the numbers here."""


def _first_order_anil(suite: Suite, outer_lr: float, inner_lr: float) -> Any:
    config = METHODS["ANIL"].configuration(suite, outer_lr, inner_lr)
    return replace(config, inner=replace(config.inner, first_order=True))


def method_of(name: str) -> Method:
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
        # The same iteration again and again: what it leaves behind is thrown away.
        _, metrics = algorithm.meta_step(state, problem, tasks, Key.from_seed(1), adapter, config, 0.0)
        return time.perf_counter() - start, metrics

    records = [iteration() for _ in range(WARM_UP + options.iterations)][WARM_UP:]
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
    """The costs as Markdown; 8M steps is the budget of the tables."""
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


def main(arguments: Sequence[str] | None = None) -> None:
    options = tyro.cli(Options, args=arguments)
    if min(options.iterations, options.tasks, options.samples) < 1:
        raise SystemExit("--iterations, --tasks, --samples: expected at least 1")
    keep_freed_memory()  # as training does
    costs = {name: costs_of(method_of(name), options) for name in ROWS}
    print(report(costs))
    if options.json is not None:
        options.json.write_text(json.dumps(costs, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

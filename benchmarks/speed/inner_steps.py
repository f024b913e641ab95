"""Peak memory and seconds of an iteration by number of inner steps, with and without `--inner.checkpointing`.

`python -m benchmarks.speed inner-steps` makes meta-iterations on 2-D navigation with a 64-64 policy, each case in a
process of its own. Without the option memory grows with every step; 50 steps take several gigabytes. Seconds need an
otherwise idle machine, memory does not.
"""

from __future__ import annotations

import importlib
import statistics
import time
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import torch

from benchmarks.speed.harness import (
    TaskOptions,
    in_own_process,
    machine,
    machine_line,
    peak_memory,
    run_benchmark,
)
from metarl.adaptation.gradient import gradient_adapter
from metarl.adaptation.parameters import initial_theta
from metarl.config.registry import find_algorithm
from metarl.config.run import InnerConfig
from metarl.config.validation import check_least
from metarl.core.machine import DTYPES, keep_freed_memory
from metarl.core.prng import Key
from metarl.rl.setup import build_family, build_policy, build_problem


@dataclass(frozen=True)
class Options(TaskOptions):
    """Measure iterations with many inner steps."""

    algorithms: tuple[Literal["maml", "maml-trpo", "promp"], ...] = ("maml", "maml-trpo")
    """Outer updates to measure."""
    steps: tuple[int, ...] = (5, 20, 50)
    """Numbers of inner steps."""
    iterations: int = 2
    """Measured iterations of each case, after one to warm up."""


def cost(algorithm: str, steps: int, checkpointing: bool, options: Options) -> dict[str, Any]:
    """Median seconds of an iteration, and the process's peak memory before the first iteration and after the last.

    Args:
        algorithm: Name of the outer update.
        steps: Number of inner steps.
        checkpointing: Whether inner steps are computed again in the backward pass.
        options: Sizes, and the number of iterations.
    """
    keep_freed_memory()  # as training does
    found = find_algorithm(algorithm)
    module = importlib.import_module(found.module)
    config = replace(
        found.config(),
        variant="raw-action",
        meta_batch_size=options.tasks,
        episodes=options.episodes,
        inner=InnerConfig(lr=0.01, steps=steps, checkpointing=checkpointing),
    )
    family = build_family(config)
    policy = build_policy(config, family.observation_space, family.action_space)
    problem, adapter = build_problem(config, family, policy), gradient_adapter(config.inner)
    theta = initial_theta(adapter, policy, config.seed, torch.device(config.device), DTYPES[config.dtype])
    state, root = module.initial_state(theta, config), Key.from_seed(config.seed)
    before = peak_memory()
    seconds = []
    for iteration in range(1 + options.iterations):
        key = root.at("iteration", iteration)
        tasks = family.sample_tasks(options.tasks, "meta-train", key.at("tasks").generator())
        start = time.perf_counter()
        state, _ = module.meta_step(state, problem, tasks, key, adapter, config, 0.0)
        seconds.append(time.perf_counter() - start)
    problem.close()
    return {
        "seconds": statistics.median(seconds[1:]),
        "peak_memory_bytes": peak_memory(),
        "memory_before_bytes": before,
    }


def measure(options: Options) -> dict[str, Any]:
    """The cost of every case; None where the machine's memory did not suffice."""
    for steps in options.steps:
        check_least(("steps", steps, 1))
    facts = machine()
    rows = []
    for algorithm in options.algorithms:
        for steps in options.steps:
            row: dict[str, Any] = {"algorithm": algorithm, "steps": steps}
            for name, checkpointing in (("kept", False), ("checkpointing", True)):
                try:
                    row[name] = in_own_process(cost, algorithm, steps, checkpointing, options)
                except BrokenProcessPool:
                    row[name] = None
            rows.append(row)
    return {"machine": facts, "tasks": options.tasks, "episodes": options.episodes, "cases": rows}


def report(result: dict[str, Any]) -> str:
    """Memory and seconds of every case, with those of the fewest steps as the unit of memory's growth."""
    lines = [
        machine_line(result["machine"]),
        f"setup: navigation2d raw-action, {result['tasks']} tasks x {result['episodes']} episodes x 100 steps, "
        "64-64 tanh policy",
        "",
        f"{'':<26}{'peak memory, MB':>24}{'seconds':>22}",
        f"{'inner steps':<26}{'kept':>10}{'recomputed':>14}{'kept':>8}{'recomputed':>14}{'ratio':>8}",
    ]
    for row in result["cases"]:
        kept, again = row["kept"], row["checkpointing"]
        ratio = f"{again['seconds'] / kept['seconds']:.2f}" if kept and again else "-"
        lines.append(
            f"{row['algorithm'] + ', ' + str(row['steps']):<26}"
            f"{_megabytes(kept):>10}{_megabytes(again):>14}{_seconds(kept):>8}{_seconds(again):>14}{ratio:>8}"
        )
    known = [row["checkpointing"] for row in result["cases"] if row["checkpointing"]]
    if known:
        before = statistics.median(row["memory_before_bytes"] for row in known)
        lines.append(f"Each process takes {before / 1e6:.0f} MB before its first iteration.")
    return "\n".join(lines)


def _megabytes(side: dict[str, Any] | None) -> str:
    return f"{side['peak_memory_bytes'] / 1e6:.0f}" if side else "killed"


def _seconds(side: dict[str, Any] | None) -> str:
    return f"{side['seconds']:.2f}" if side else "-"


main = partial(run_benchmark, "inner-steps", Options, measure, report)

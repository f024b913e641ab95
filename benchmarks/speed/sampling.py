"""Sampling of a task family end to end: policy, environments, random numbers and bookkeeping, whole rollouts at a time.

`python -m benchmarks.speed sampling --family NAME` counts the steps of all sub-environments, those whose episode has
ended included, and the transitions that are kept. A family on MuJoCo is compared with MuJoCo itself (see
`benchmarks.speed.mujoco`).
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from benchmarks.speed.harness import (
    TaskOptions,
    cpu_envs,
    in_turns,
    machine,
    machine_line,
    run_benchmark,
    timed_rollouts,
)
from metarl.config.run import PolicyConfig
from metarl.core.machine import keep_freed_memory
from metarl.families.family import TaskFamily
from metarl.families.mujoco import MujocoFamily
from metarl.families.registry import load_family

WARM_UP = 3


@dataclass(frozen=True)
class Options(TaskOptions):
    """Measure how fast a task family is sampled."""

    family: str = "navigation2d"
    """Task family, or NAME:VARIANT."""
    iterations: int = 10
    """Measured rollouts, after those to warm up."""


def measure(options: Options) -> dict[str, Any]:
    """Rates of the family's rollouts; on MuJoCo, those of other ways to step the same body as well."""
    family = load_family(options.family)
    if isinstance(family, MujocoFamily):
        from benchmarks.speed import mujoco

        return mujoco.measure(family, options, options.iterations)
    return measure_family(family, options)


def measure_family(family: TaskFamily, options: Options) -> dict[str, Any]:
    """Median steps and transitions a second of rollouts under an untrained policy of the default size."""
    facts = machine()
    keep_freed_memory()  # as training does
    rollouts = timed_rollouts(family, cpu_envs(family, options), hidden_sizes=PolicyConfig().hidden_sizes)
    (rates,) = in_turns({family.name: rollouts.__next__}, options.iterations, WARM_UP).values()
    rollouts.close()
    return {
        "machine": facts,
        "family": family.name,
        "variant": family.variant,
        "horizon": family.horizon,
        "lanes": f"{options.tasks} tasks x {options.episodes} episodes",
        "torch_threads": torch.get_num_threads(),
        "steps_per_second": statistics.median(rate.steps for rate in rates),
        "transitions_per_second": statistics.median(rate.transitions for rate in rates),
    }


def report(result: dict[str, Any]) -> str:
    """The numbers as text."""
    if "ratios" in result:
        from benchmarks.speed import mujoco

        return mujoco.report(result)
    return "\n".join(
        [
            machine_line(result["machine"]),
            f"setup: {result['family']} {result['variant'] or ''}, {result['lanes']} x {result['horizon']} steps, "
            "64-64 tanh policy",
            f"{result['steps_per_second']:,.0f} sub-environment steps/s, "
            f"{result['transitions_per_second']:,.0f} transitions/s",
        ]
    )


main = partial(run_benchmark, "sampling", Options, measure, report)

"""Wall seconds of five seeds: a process each, against one command for all of them.

`python -m benchmarks.speed seeds` trains the same runs in each way, start-up included, in turns: 2-D navigation, whose
iterations are arithmetic, coupled-direction with steps that are half as long, and sinusoids, whose iterations are calls
of small operations. Ways of two processes or threads need two cores. Run it on an otherwise idle machine.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.speed.harness import BenchmarkOptions, in_turns, machine, machine_line, run_benchmark
from metarl.core.launch import thread_environment

BASELINE = "a process each, two at a time"


@dataclass(frozen=True)
class Options(BenchmarkOptions):
    """Train several seeds of a method, in one process each and by one command."""

    seeds: int = 5
    """Seeds."""
    iterations: int = 20
    """Meta-iterations of each on 2-D navigation; twice as many on coupled-direction, fifty times on sinusoids."""
    tasks: int = 20
    """Tasks in each iteration."""
    rounds: int = 3
    """Repetitions in turns; the median counts."""


def measure(options: Options) -> dict[str, Any]:
    """Seconds of every repetition of every way, by setup, with the facts of the machine."""
    result: dict[str, Any] = {"machine": machine()}
    for setup, train in commands(options).items():
        result[setup] = in_turns(
            {name: partial(seconds, name, options.seeds, train) for name in ways(options.seeds, train, Path())},
            options.rounds,
        )
    return result


def seconds(name: str, seeds: int, train: list[str]) -> float:
    """Wall seconds of training all seeds in the way of that name."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        _run(*ways(seeds, train, Path(folder))[name])
        return time.perf_counter() - start


def _run(commands: list[list[str]], at_a_time: int, threads: int) -> None:
    """Run commands, some at a time, each with so many threads."""
    environment = thread_environment(threads)
    waiting, running = list(commands), []
    while waiting or running:
        while waiting and len(running) < at_a_time:
            running.append(subprocess.Popen(waiting.pop(0), env=environment, stdout=subprocess.DEVNULL))
        if running.pop(0).wait():
            raise SystemExit("a training failed")


def commands(options: Options) -> dict[str, list[str]]:
    """The training command of each setup, without seeds and run directory."""
    size = ["--meta-batch-size", str(options.tasks), "--validation-tasks", "0"]
    navigation = ["--variant", "raw-action", "--episodes", "20", "--iterations", str(options.iterations)]
    direction = ["--config", "maml-trpo-coupled-direction", "--iterations", str(2 * options.iterations)]
    train = ["metarl", "train", "maml-trpo"]
    few_shot = ["benchmarks.fewshot", "train", "sinusoid", "maml", "--iterations", str(50 * options.iterations)]
    return {
        "navigation2d": [*train, *navigation, *size],
        "coupled-direction": [*train, *direction, *size],
        "sinusoid": [*few_shot, *size],
    }


def ways(seeds: int, train: list[str], folder: Path) -> dict[str, tuple[list[list[str]], int, int]]:
    """Commands of each way, how many of them run at a time, and threads of each."""
    numbers = [str(seed) for seed in range(1, seeds + 1)]
    python = [sys.executable, "-m"]
    torchrun = [*python, "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    separate = [[*python, *train, "--seed", n, "--run-dir", str(folder / f"separate-{n}")] for n in numbers]
    together = [*train, "--run-dir", str(folder / "together"), "--seeds", *numbers]
    return {
        "a process each, one after another": (separate, 1, 2),
        BASELINE: (separate, 2, 1),
        "--seeds --seeds-at-once 1": ([[*python, *together, "--seeds-at-once", "1"]], 1, 2),
        "--seeds in one batch": ([[*python, *together]], 1, 2),
        "--seeds, a batch in each of two processes": ([[*torchrun, *together]], 1, 1),
    }


def report(result: dict[str, Any]) -> str:
    """Median seconds of every way, and how many times faster it is than separate processes, two at a time."""
    lines = [machine_line(result["machine"], threads=False)]
    for setup, found in result.items():
        if setup == "machine":
            continue
        medians = {name: statistics.median(values) for name, values in found.items()}
        lines += ["", setup]
        lines += [f"{name:<44}{value:>8.1f} s{medians[BASELINE] / value:>8.2f} x" for name, value in medians.items()]
    return "\n".join(lines)


main = partial(run_benchmark, "seeds", Options, measure, report)

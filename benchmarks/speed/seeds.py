"""Wall seconds of five seeds: a process each, against one command for all of them.

`python -m benchmarks.speed.iteration --seeds` trains the same runs in each way, start-up included, in turns: 2-D navigation,
whose iterations are arithmetic, coupled-direction with steps that are half as long, and sinusoids, whose iterations are
calls of small operations. Where two processes or threads are used at a time there are two cores to use. Run it on an
otherwise idle machine.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from benchmarks.speed.iteration import machine


@dataclass(frozen=True)
class Options:
    """Train several seeds of a method, in one process each and by one command."""

    seeds: int = 5
    """Seeds."""
    iterations: int = 20
    """Meta-iterations of each on 2-D navigation; twice as many on coupled-direction, fifty times on sinusoids."""
    tasks: int = 20
    """Tasks in each iteration."""
    rounds: int = 3
    """Repetitions, of which the median counts."""
    json: Path | None = None
    """Write the numbers here."""


def _run(commands: list[list[str]], at_a_time: int, threads: int) -> None:
    """Run commands, some at a time, each with so many threads."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    waiting, running = list(commands), []
    while waiting or running:
        while waiting and len(running) < at_a_time:
            running.append(subprocess.Popen(waiting.pop(0), env=environment, stdout=subprocess.DEVNULL))
        if running.pop(0).wait():
            raise SystemExit("a training failed")


def workloads(options: Options) -> dict[str, list[str]]:
    """The command of each, but for seeds and run directory."""
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
    """Each way's commands, how many run at a time, and threads of each."""
    numbers = [str(seed) for seed in range(1, seeds + 1)]
    python = [sys.executable, "-m"]
    torchrun = [*python, "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    separate = [[*python, *train, "--seed", n, "--run-dir", str(folder / f"separate-{n}")] for n in numbers]
    together = [*train, "--run-dir", str(folder / "together"), "--seeds", *numbers]
    return {
        "a process each, one after another": (separate, 1, 2),
        "a process each, two at a time": (separate, 2, 1),
        "--seeds --seeds-at-once 1": ([[*python, *together, "--seeds-at-once", "1"]], 1, 2),
        "--seeds in one batch": ([[*python, *together]], 1, 2),
        "--seeds, a batch in each of two processes": ([[*torchrun, *together]], 1, 1),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    options = tyro.cli(Options, args=arguments)
    if min(options.seeds, options.iterations, options.tasks, options.rounds) < 1:
        raise SystemExit("--seeds, --iterations, --tasks, --rounds: expected at least 1")
    facts = machine()
    print(f"machine: {facts['cores']} cores (load {facts['load_before']} before), torch {facts['torch']}")
    report: dict[str, object] = {"machine": facts}
    for setup, train in workloads(options).items():
        seconds: dict[str, list[float]] = {}
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory() as folder:
                for number, name in enumerate(ways(options.seeds, train, Path(folder))):
                    start = time.perf_counter()
                    _run(*ways(options.seeds, train, Path(folder) / str(number))[name])
                    seconds.setdefault(name, []).append(time.perf_counter() - start)
        report[setup] = seconds
        medians = {name: statistics.median(values) for name, values in seconds.items()}
        print(f"\n{options.seeds} seeds: {' '.join(train)}")
        for name, value in medians.items():
            print(f"{name:<44}{value:>8.1f} s{medians['a process each, two at a time'] / value:>8.2f} x")
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

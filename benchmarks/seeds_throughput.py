"""Wall seconds of five seeds: a process each, against one command for all of them.

`python -m benchmarks.throughput --seeds` trains the same runs in each way, start-up included, in turns. Where two
processes or threads are used at a time there are two cores to use. Run it on an otherwise idle machine.
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

from benchmarks.throughput import machine


@dataclass(frozen=True)
class Options:
    """Train several seeds of MAML-TRPO on 2-D navigation, in one process each and by one command."""

    seeds: int = 5
    """Seeds."""
    iterations: int = 20
    """Meta-iterations of each."""
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


def ways(options: Options, folder: Path) -> dict[str, tuple[list[list[str]], int, int]]:
    """Each way's commands, how many run at a time, and threads of each."""
    train = ["metarl", "train", "maml-trpo", "--variant", "raw-action", "--iterations", str(options.iterations),
             "--meta-batch-size", str(options.tasks), "--episodes", "20", "--validation-tasks", "0"]  # fmt: skip
    numbers = [str(seed) for seed in range(1, options.seeds + 1)]
    python, torchrun = [sys.executable, "-m"], [sys.executable, "-m", "torch.distributed.run"]
    separate = [[*python, *train, "--seed", n, "--run-dir", str(folder / f"separate-{n}")] for n in numbers]
    together = [*train, "--run-dir", str(folder / "together"), "--seeds", *numbers]
    return {
        "a process each, one after another": (separate, 1, 2),
        "a process each, two at a time": (separate, 2, 1),
        "--seeds in one process": ([[*python, *together]], 1, 2),
        "--seeds shared by two processes": (
            [[*torchrun, "--standalone", "--nproc-per-node", "2", "-m", *together]],
            1,
            1,
        ),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    options = tyro.cli(Options, args=arguments)
    if min(options.seeds, options.iterations, options.tasks, options.rounds) < 1:
        raise SystemExit("--seeds, --iterations, --tasks, --rounds: expected at least 1")
    facts = machine()
    seconds: dict[str, list[float]] = {}
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            for number, name in enumerate(ways(options, Path(folder))):
                start = time.perf_counter()
                _run(*ways(options, Path(folder) / str(number))[name])
                seconds.setdefault(name, []).append(time.perf_counter() - start)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(f"machine: {facts['cores']} cores (load {facts['load_before']} before), torch {facts['torch']}")
    print(
        f"{options.seeds} seeds x {options.iterations} iterations of {options.tasks} tasks x 20 episodes x 100 steps\n"
    )
    slowest = medians["a process each, one after another"]
    for name, value in medians.items():
        print(f"{name:<36}{value:>8.1f} s{slowest / value:>8.2f} x")
    if options.json is not None:
        options.json.write_text(json.dumps({"machine": facts, "seconds": seconds}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

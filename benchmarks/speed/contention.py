"""Seconds of a training on a machine that is busy: beside other processes, and several trainings at once.

`python -m benchmarks.speed contention` runs whole commands, start included, in turns: with metarl's own choice of
threads, with OpenMP's default spin and a thread for each core, and with one thread.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

from benchmarks.speed.harness import BenchmarkOptions, machine, machine_line, run_benchmark
from metarl.core.launch import SHORT_SPIN, thread_environment, usable_cores

WORKLOADS = {
    "small": ("maml", "coupled-direction", 20),
    "large": ("maml-trpo", "navigation2d", 10),
}
"""Algorithm, family and iterations of each workload."""

SITUATIONS = {"alone": (1, 0), "1 busy": (1, 1), "2 busy": (1, 2), "2 at once": (2, 0), "4 at once": (4, 0)}
"""Trainings at once, and busy processes beside them."""

DEFAULT_SPIN = {"GOMP_SPINCOUNT": "300000", "KMP_BLOCKTIME": "200"}
"""OpenMP's own settings, in libgomp and in libomp."""


@dataclass(frozen=True)
class Options(BenchmarkOptions):
    """Measure trainings beside other processes."""

    LEAST: ClassVar[Mapping[str, int]] = {"iterations": 0}
    workloads: tuple[Literal["small", "large"], ...] = ("small", "large")
    """Trainings to measure."""
    situations: tuple[Literal["alone", "1 busy", "2 busy", "2 at once", "4 at once"], ...] = (
        "alone",
        "1 busy",
        "2 busy",
        "2 at once",
        "4 at once",
    )
    """Busy processes beside a training, or trainings at once."""
    iterations: int = 0
    """Iterations of each training; 20 of the small and 10 of the large one by default."""
    rounds: int = 1
    """Measurements of each situation; the median is reported."""


def environments() -> dict[str, dict[str, str]]:
    """Environment variables of a training, by the name of the choice that they make."""
    own = thread_environment(1)
    unset = {name: value for name, value in own.items() if name not in ("OMP_NUM_THREADS", *SHORT_SPIN)}
    every_core = {"OMP_NUM_THREADS": str(usable_cores())}
    return {
        "metarl": unset,
        "default": {**unset, **DEFAULT_SPIN, **every_core},
        "one": {**unset, "OMP_NUM_THREADS": "1"},
    }


def seconds(command: Sequence[str], env: Mapping[str, str], trainings: int, busy: int) -> float:
    """Seconds until the last of several trainings ends.

    Args:
        command: A training without its run directory.
        env: Its environment variables.
        trainings: Number of trainings at once.
        busy: Number of processes that compute beside them.
    """
    with ExitStack() as held:
        for _ in range(busy):
            other = held.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            held.callback(other.kill)
        folder = held.enter_context(tempfile.TemporaryDirectory())
        start = time.perf_counter()
        started = [
            subprocess.Popen(
                [*command, "--run-dir", str(Path(folder) / str(i))], env=dict(env), stdout=subprocess.DEVNULL
            )
            for i in range(trainings)
        ]
        codes = [training.wait() for training in started]
        took = time.perf_counter() - start
    if any(codes):
        raise subprocess.CalledProcessError(max(codes), list(command))
    return took


def measure(options: Options) -> dict[str, Any]:
    """Median seconds by workload, situation and choice of threads."""
    found: dict[str, Any] = {}
    for workload in options.workloads:
        algorithm, family, iterations = WORKLOADS[workload]
        command = [sys.executable, "-m", "metarl", "train", algorithm, "--family", family]
        command += ["--iterations", str(options.iterations or iterations)]
        found[workload] = {}
        for situation in options.situations:
            trainings, busy = SITUATIONS[situation]
            rounds = [
                {name: seconds(command, env, trainings, busy) for name, env in environments().items()}
                for _ in range(options.rounds)
            ]
            found[workload][situation] = {
                name: sorted(times[name] for times in rounds)[options.rounds // 2] for name in rounds[0]
            }
    return {"machine": machine(), "seconds": found}


def report(result: dict[str, Any]) -> str:
    """A line for each workload and situation, with the seconds of each choice of threads."""
    lines = [machine_line(result["machine"], threads=False)]
    for workload, situations in result["seconds"].items():
        for situation, times in situations.items():
            row = "".join(f"{name:>12} {value:6.1f} s" for name, value in times.items())
            lines.append(f"{workload:6} {situation:10}{row}")
    return "\n".join(lines)


main = partial(run_benchmark, "contention", Options, measure, report)

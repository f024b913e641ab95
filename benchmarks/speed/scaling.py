"""Seconds of an iteration by one process and by two, bytes that they exchange, and seconds until they have started.

`python -m benchmarks.speed.scaling` trains MAML-TRPO on 2-D navigation through the command line, each arrangement in turn,
and reads the runs' metrics. Run it on an otherwise idle machine with as many cores as the largest product of processes
and threads.
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
from typing import Any, NamedTuple

import tyro

from benchmarks.speed.iteration import machine
from metarl.runs.directory import read_metrics

WARM_UP = 2
SHAPES = ((1, 1), (2, 1), (1, 2))
"""Processes and threads of each that are compared."""
WANTED = 1.6
"""How many times faster two processes with a thread each should be than one process with one."""


@dataclass(frozen=True)
class Options:
    """Measure one MAML-TRPO iteration by one process and by several."""

    iterations: int = 10
    """Measured iterations of each run, after two to warm up."""
    tasks: int = 20
    """Tasks in each iteration; twice as many are measured too."""
    episodes: int = 20
    """Episodes of each task, before and after adaptation."""
    rounds: int = 3
    """Runs of each arrangement, of which the median iteration counts."""
    json: Path | None = None
    """Write the numbers here."""


class Arrangement(NamedTuple):
    processes: int
    threads: int
    tasks: int
    ordered: bool = False

    @property
    def name(self) -> str:
        ordered = ", sums ordered" if self.ordered else ""
        return f"{self.processes} x {self.threads} thread{'s' * (self.threads > 1)}, {self.tasks} tasks{ordered}"


def run(arrangement: Arrangement, options: Options) -> dict[str, Any]:
    """Seconds of each measured iteration, bytes exchanged by phase, and seconds of the command beside them."""
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder) / "run"
        train = ["-m", "metarl", "train", "maml-trpo", "--variant", "raw-action", "--validation-tasks", "0",
                 "--iterations", str(WARM_UP + options.iterations), "--meta-batch-size", str(arrangement.tasks),
                 "--episodes", str(options.episodes), "--run-dir", str(where)]  # fmt: skip
        if arrangement.ordered:
            train.append("--ordered-sums")
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(arrangement.processes)]
        command = [sys.executable, *(launcher if arrangement.processes > 1 else []), *train]
        start = time.perf_counter()
        subprocess.run(
            command,
            check=True,
            stdout=subprocess.DEVNULL,
            env=os.environ | {"OMP_NUM_THREADS": str(arrangement.threads)},
        )
        whole = time.perf_counter() - start
        records = read_metrics(where)
    walls = [record["wall_seconds"] for record in records]
    return {
        "seconds": [after - before for before, after in zip(walls[WARM_UP - 1 :], walls[WARM_UP:], strict=False)],
        "exchanged_bytes": records[-1].get("exchanged_bytes", {}),
        "backtracks": records[-1]["line_search"]["backtracks"],
        "rescalings": records[-1]["line_search"]["rescalings"],
        "beside_iterations": whole - walls[-1],
    }


def report(found: dict[Arrangement, list[dict[str, Any]]], tasks: int) -> str:
    """The numbers as text."""
    seconds = {a: statistics.median(s for run in runs for s in run["seconds"]) for a, runs in found.items()}
    lines = [f"{'processes x threads':<44}{'iteration':>12}{'start and end':>16}"]
    for arrangement, runs in found.items():
        beside = statistics.median(run["beside_iterations"] for run in runs)
        lines.append(f"{arrangement.name:<44}{seconds[arrangement]:>10.3f} s{beside:>14.1f} s")
    lines += ["", "bytes that a rank hands over in an iteration, by phase:"]
    for arrangement, runs in found.items():
        by_phase = runs[-1]["exchanged_bytes"]
        if by_phase:
            parts = ", ".join(f"{name} {count:,}" for name, count in by_phase.items())
            lines.append(f"  {arrangement.name}: {parts}; {sum(by_phase.values()):,} in all "
                         f"({runs[-1]['backtracks']} backtracks)")  # fmt: skip
    for n in (tasks, 2 * tasks):
        one, two, threads = (seconds[Arrangement(*shape, n)] for shape in SHAPES)
        faster, against = one / two, threads / two
        lines += [
            "",
            f"with {n} tasks two processes with a thread each are {faster:.2f} times faster than one with one "
            f"(efficiency {faster / 2:.0%}); wanted at least {WANTED}: {'met' if faster >= WANTED else 'missed'}",
            f"and {against:.2f} times as fast as one with two threads; wanted at least 1: "
            f"{'met' if against >= 1 else 'missed'}",
        ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    options = tyro.cli(Options, args=arguments)
    if min(options.iterations, options.episodes, options.rounds) < 1 or options.tasks < 2:
        raise SystemExit("--iterations, --episodes, --rounds: expected at least 1; --tasks: at least 2")
    facts = machine()
    n = options.tasks
    arrangements = [Arrangement(*shape, tasks) for tasks in (n, 2 * n) for shape in SHAPES]
    arrangements += [Arrangement(1, 1, n, ordered=True), Arrangement(2, 1, n, ordered=True)]
    found: dict[Arrangement, list[dict[str, Any]]] = {arrangement: [] for arrangement in arrangements}
    for _ in range(options.rounds):
        for arrangement, runs in found.items():
            runs.append(run(arrangement, options))
    print(f"machine: {facts['cores']} cores (load {facts['load_before']} before), torch {facts['torch']}\n")
    print(report(found, n))
    if options.json is not None:
        runs = [{**arrangement._asdict(), "runs": entry} for arrangement, entry in found.items()]
        options.json.write_text(json.dumps({"machine": facts, "arrangements": runs}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

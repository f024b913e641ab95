"""Seconds of an iteration by one process and by two, and a model of its seconds on many ranks.

`python -m benchmarks.speed scaling` trains MAML-TRPO on 2-D navigation through the command line, each arrangement in
turn, and reads the runs' metrics: seconds of an iteration, bytes that the processes exchange, and seconds of start and
end. Run it on an otherwise idle machine with as many cores as the largest product of processes and threads.

`python -m benchmarks.speed scale-model` measures how long tasks take to draw, takes the rest from its options, and
prints seconds, efficiency and the largest term for 10 to 1,000 ranks and 1,000 to 1,000,000 tasks.

    T(ranks, tasks) = drawing * tasks                       every rank draws the whole meta-batch
                    + seconds_per_task * ceil(tasks/ranks)  the slowest rank's share, a thread a rank
                    + fixed                                 work of a rank whatever its share: Adam, CG vectors
                    + meetings * 2 * log2(ranks) * latency  all-reduces as a tree, up and down
                    + 2 * bytes / bandwidth                 and a ring's volume, which does not grow with the ranks

The model assumes tasks of equal cost, ranks of equal speed, a network without congestion, and nothing overlapped.
"""

from __future__ import annotations

import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from benchmarks.speed.harness import (
    WARM_UP,
    BenchmarkOptions,
    TaskOptions,
    in_turns,
    machine,
    machine_line,
    run_benchmark,
)
from metarl.core.launch import thread_environment
from metarl.core.prng import Key
from metarl.families.registry import load_family
from metarl.runs.directory import read_metrics

SHAPES = ((1, 1), (2, 1), (1, 2))
"""Processes and threads of each that are compared."""
RANKS = (1, 10, 100, 1000)
TASKS = (10**3, 10**4, 10**5, 10**6)
DRAWN = 2000


@dataclass(frozen=True)
class Options(TaskOptions):
    """Measure one MAML-TRPO iteration by one process and by several."""

    LEAST: ClassVar[Mapping[str, int]] = {"tasks": 2}
    iterations: int = 10
    """Measured iterations of each run, after two to warm up."""
    rounds: int = 3
    """Runs of each arrangement, of which the median iteration counts."""


@dataclass(frozen=True)
class ModelOptions(BenchmarkOptions):
    """Terms of the model. The defaults are MAML-TRPO's on 2-D navigation, 20 episodes a step, one inner step."""

    LEAST: ClassVar[Mapping[str, int]] = {"meetings": 0, "bytes": 0}
    seconds_per_task: float = 0.028
    """Seconds of one task on one thread: an iteration of one process in the benchmark `scaling`, over its tasks."""
    fixed: float = 0.005
    """Seconds of an iteration that do not depend on the tasks."""
    meetings: int = 32
    """Collective operations of an iteration."""
    bytes: int = 233_000
    """Bytes that a rank sends in an iteration."""
    latency: float = 50e-6
    """Seconds of one message between two hosts."""
    bandwidth: float = 1.25e9
    """Bytes a second between two hosts: 10 Gbit/s."""
    drawing: float | None = None
    """Seconds to draw one task; measured if it is not given."""


class Arrangement(NamedTuple):
    """Processes and threads of each, and the tasks that they share."""

    processes: int
    threads: int
    tasks: int
    ordered: bool = False

    @property
    def name(self) -> str:
        """The arrangement in words."""
        ordered = ", sums ordered" if self.ordered else ""
        return f"{self.processes} x {self.threads} thread{'s' * (self.threads > 1)}, {self.tasks} tasks{ordered}"


def measure(options: Options) -> dict[str, Any]:
    """Every run of every arrangement, with the facts of the machine."""
    facts, n = machine(), options.tasks
    arrangements = [Arrangement(*shape, tasks) for tasks in (n, 2 * n) for shape in SHAPES]
    arrangements += [Arrangement(1, 1, n, ordered=True), Arrangement(2, 1, n, ordered=True)]
    found = in_turns({arrangement: partial(run, arrangement, options) for arrangement in arrangements}, options.rounds)
    return {"machine": facts, "arrangements": [{**a._asdict(), "runs": runs} for a, runs in found.items()]}


def run(arrangement: Arrangement, options: Options) -> dict[str, Any]:
    """Seconds of each measured iteration, bytes exchanged by phase, and seconds of the command outside iterations."""
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
            env=thread_environment(arrangement.threads),
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


def report(result: dict[str, Any]) -> str:
    """The numbers as text."""
    found = {
        Arrangement(**{k: v for k, v in row.items() if k != "runs"}): row["runs"] for row in result["arrangements"]
    }
    seconds = {a: statistics.median(s for run in runs for s in run["seconds"]) for a, runs in found.items()}
    lines = [machine_line(result["machine"], threads=False), ""]
    lines.append(f"{'processes x threads':<44}{'iteration':>12}{'start and end':>16}")
    for arrangement, runs in found.items():
        around = statistics.median(run["beside_iterations"] for run in runs)
        lines.append(f"{arrangement.name:<44}{seconds[arrangement]:>10.3f} s{around:>14.1f} s")
    lines += ["", "bytes that a rank sends in an iteration, by phase:"]
    for arrangement, runs in found.items():
        by_phase = runs[-1]["exchanged_bytes"]
        if by_phase:
            parts = ", ".join(f"{name} {count:,}" for name, count in by_phase.items())
            lines.append(f"  {arrangement.name}: {parts}; {sum(by_phase.values()):,} in all "
                         f"({runs[-1]['backtracks']} backtracks)")  # fmt: skip
    for n in dict.fromkeys(arrangement.tasks for arrangement in found):
        one, two, threads = (seconds[Arrangement(*shape, n)] for shape in SHAPES)
        lines += [
            "",
            f"with {n} tasks two processes with a thread each are {one / two:.2f} times faster than one with one "
            f"(efficiency {one / two / 2:.0%})",
            f"and {threads / two:.2f} times as fast as one with two threads",
        ]
    return "\n".join(lines)


def predict(options: ModelOptions) -> dict[str, Any]:
    """Seconds of each term for every number of ranks and of tasks."""
    drawing = measured_drawing() if options.drawing is None else options.drawing
    rows = [
        {"tasks": tasks, "ranks": ranks, "terms": terms(options, drawing, ranks, tasks)}
        for tasks in TASKS
        for ranks in RANKS
    ]
    return {"drawing": drawing, "rows": rows}


def terms(options: ModelOptions, drawing: float, ranks: int, tasks: int) -> dict[str, float]:
    """Seconds of each term."""
    return {
        "drawing": drawing * tasks,
        "tasks": options.seconds_per_task * math.ceil(tasks / ranks),
        "fixed": options.fixed,
        "latency": options.meetings * 2 * math.log2(ranks) * options.latency,
        "volume": 2 * options.bytes / options.bandwidth if ranks > 1 else 0.0,
    }


def measured_drawing() -> float:
    """Seconds to draw one task of 2-D navigation, the fastest of three times."""
    family, best = load_family("navigation2d"), math.inf
    for repetition in range(3):
        start = time.perf_counter()
        family.sample_tasks(DRAWN, "meta-train", Key(repetition).generator())
        best = min(best, (time.perf_counter() - start) / DRAWN)
    return best


def report_model(result: dict[str, Any]) -> str:
    """A table in Markdown; efficiency is relative to one rank."""
    lines = [
        f"drawing a task: {result['drawing'] * 1e6:.1f} us",
        "",
        "| tasks | ranks | seconds | efficiency | largest other term |",
        "|---|---|---|---|---|",
    ]
    alone = {row["tasks"]: sum(row["terms"].values()) for row in result["rows"] if row["ranks"] == 1}
    for row in result["rows"]:
        tasks, ranks, parts = row["tasks"], row["ranks"], row["terms"]
        if ranks > 1:
            whole = sum(parts.values())
            largest = max((name for name in parts if name != "tasks"), key=lambda name: parts[name])
            lines.append(
                f"| {tasks:,} | {ranks:,} | {whole:.3g} | {alone[tasks] / ranks / whole:.0%} | "
                f"{largest} {parts[largest]:.2g} s |"
            )
    return "\n".join(lines)


main = partial(run_benchmark, "scaling", Options, measure, report)
model = partial(run_benchmark, "scale-model", ModelOptions, predict, report_model)

"""A model of an iteration's seconds on many ranks: what a task costs, what cannot be shared, what is exchanged.

`python -m benchmarks.speed.scale_model` measures how long tasks take to draw, takes the rest from its options, and prints
seconds, efficiency and the largest term for 10 to 1,000 ranks and 1,000 to 1,000,000 tasks.

    T(ranks, tasks) = drawing * tasks                       every rank draws the whole meta-batch
                    + seconds_per_task * ceil(tasks/ranks)  the slowest rank's share, a thread a rank
                    + fixed                                 what a rank computes whatever its share: Adam, CG vectors
                    + meetings * 2 * log2(ranks) * latency  all-reduces as a tree, up and down
                    + 2 * bytes / bandwidth                 and a ring's volume, which does not grow with the ranks

It assumes tasks of equal cost, ranks of equal speed, a network without congestion, and nothing overlapped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import tyro

from metarl.core.prng import Key
from metarl.families.registry import load_family

RANKS = (1, 10, 100, 1000)
TASKS = (10**3, 10**4, 10**5, 10**6)
DRAWN = 2000


@dataclass(frozen=True)
class Options:
    """What the model is about. The defaults are MAML-TRPO's on 2-D navigation, 20 episodes a step, one inner step."""

    seconds_per_task: float = 0.028
    """Seconds of one task on one thread: `python -m benchmarks.speed.scaling`, an iteration of one process over its tasks."""
    fixed: float = 0.005
    """Seconds of an iteration that do not depend on the tasks."""
    meetings: int = 32
    """Collective operations of an iteration."""
    bytes: int = 233_000
    """Bytes that a rank hands over in an iteration."""
    latency: float = 50e-6
    """Seconds of one message between two hosts."""
    bandwidth: float = 1.25e9
    """Bytes a second between two hosts: 10 Gbit/s."""
    drawing: float | None = None
    """Seconds to draw one task; measured if it is not given."""


def terms(options: Options, drawing: float, ranks: int, tasks: int) -> dict[str, float]:
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


def report(options: Options, drawing: float) -> str:
    """A table in Markdown."""
    lines = [
        f"drawing a task: {drawing * 1e6:.1f} us",
        "",
        "| tasks | ranks | seconds | efficiency | largest other term |",
        "|---|---|---|---|---|",
    ]
    for tasks in TASKS:
        alone = sum(terms(options, drawing, 1, tasks).values())
        for ranks in RANKS[1:]:
            parts = terms(options, drawing, ranks, tasks)
            whole = sum(parts.values())
            largest = max((name for name in parts if name != "tasks"), key=lambda name: parts[name])
            lines.append(
                f"| {tasks:,} | {ranks:,} | {whole:.3g} | {alone / ranks / whole:.0%} | "
                f"{largest} {parts[largest]:.2g} s |"
            )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    options = tyro.cli(Options, args=arguments)
    print(report(options, measured_drawing() if options.drawing is None else options.drawing))


if __name__ == "__main__":
    main()

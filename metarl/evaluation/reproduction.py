"""A published experiment beside its runs here: published rows, mean of the seeds with intervals, worst seed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from metarl.config.protocols import Protocol, find_protocol, protocol_files
from metarl.core.numbers import number_text
from metarl.evaluation.evaluate import evaluate_on_family
from metarl.evaluation.statistics import pooled
from metarl.families.registry import load_family
from metarl.runs.directory import read_config, read_metrics


def measure_reproduction(
    name: str, runs: Sequence[Path], seed: int = 1, log: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """Measure the runs of a published experiment, for JSON.

    Args:
        name: Name of the experiment.
        runs: A finished run of each training seed.
        seed: Chooses the held-out tasks and governs the episodes.
        log: Called with a line for each run.

    Raises:
        ConfigError: There is no such experiment.
        RunError: A run cannot be read.
    """
    protocol = find_protocol(name)
    curves, ids = [], None
    for run in runs:
        log(f"measuring {run}")
        result = evaluate_on_family(run, replace(protocol.evaluation, seed=seed))
        curves.append(np.array(result["per_task"], float))
        ids = result["task_ids"]
    scores = np.array(curves)
    if protocol.measure == "trial":
        scores = scores.sum(-1, keepdims=True)
    last = [read_metrics(run)[-1] for run in runs]
    return {
        "name": name,
        "title": protocol.title,
        "measure": protocol.measure,
        "published": dict(protocol.rows),
        "metarl": pooled(scores, "mean", ids),
        "per_seed": scores.mean(1).tolist(),
        "seeds": [read_config(run)[1].seed for run in runs],
        "iterations": [record["iteration"] for record in last],
        "iterations_of_protocol": protocol.config.iterations,
        "environment_steps": [record["environment_steps"] for record in last],
        "seconds": [record["wall_seconds"] for record in last],
        "evaluation": asdict(protocol.evaluation),
        "differs": list(protocol.differs),
    }


def print_reproduction(result: dict[str, Any], console: Console | None = None) -> None:
    """Published rows and the row of the runs here, the differences, and what training took."""
    console = console or Console(width=None if sys.stdout.isatty() else 120)
    row, seeds = result["metarl"], len(result["seeds"])
    several = seeds > 1
    table = Table(
        title=f"{result['title']}: return",
        caption=f"metarl: mean over {seeds} seeds and their tasks, with 95 % intervals" if several else None,
    )
    table.add_column("step" if result["measure"] == "steps" else "")
    known = [f"{name}, published" for name in result["published"]]
    of_seeds = ["interval, these tasks", "interval, new tasks", "worst seed"] if several else ["interval over tasks"]
    for column in ("metarl", *of_seeds, *known):
        table.add_column(column, justify="right", min_width=17 if column.startswith("interval") else None)
    for k in range(len(row["mean"])):
        ends = [_ends(row["ci95_low"][k], row["ci95_high"][k])]
        if several:
            ends += [_ends(row["new_tasks_low"][k], row["new_tasks_high"][k]), number_text(row["worst_seed"][k])]
        published = [f"{values[k]:g}" if k < len(values) else "" for values in result["published"].values()]
        step = str(k) if result["measure"] == "steps" else "a trial"
        table.add_row(step, number_text(row["mean"][k]), *ends, *published)
    console.print(table)
    steps, seconds = np.mean(result["environment_steps"]), np.mean(result["seconds"])
    console.print(f"training: {steps / 1e6:.1f}M environment steps and {seconds / 60:.1f} minutes a seed")
    if min(result["iterations"]) < result["iterations_of_protocol"]:
        done = min(result["iterations"])
        console.print(
            f"shortened: {done} of {result['iterations_of_protocol']} iterations, so not the experiment itself"
        )
    for sentence in result["differs"]:
        console.print(f"differs: {sentence}", highlight=False)


def _ends(low: float | None, high: float | None) -> str:
    """The ends of an interval, where there is one."""
    return "-" if low is None or high is None else f"{number_text(low)} to {number_text(high)}"


def print_protocols() -> None:
    """The published experiments, with the environment steps of a seed and the published figure of the first row."""
    table = Table(title="published experiments", caption="metarl reproduce NAME --run-dir DIR trains and measures one")
    for column in ("name", "experiment", "steps a seed", "published"):
        table.add_column(column, justify="right" if column == "steps a seed" else "left")
    for name in protocol_files():
        protocol = find_protocol(name)
        row, values = next(iter(protocol.rows.items()))
        figures = ", ".join(f"{value:g}" for value in values[:3])
        table.add_row(Text(name, no_wrap=True), protocol.title, f"{steps_of(protocol) / 1e6:.0f}M", f"{row}: {figures}")
    Console().print(table)


def steps_of(protocol: Protocol) -> int:
    """Environment steps of training one seed, if every episode has full length."""
    config = protocol.config
    horizon = load_family(config.family, config.variant).horizon
    collections = config.inner.steps + 1
    each = config.samples_per_step or config.episodes * horizon
    return int(config.iterations * config.meta_batch_size * collections * each)

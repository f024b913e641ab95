"""What the command line shows: progress, tables, JSON."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from metarl.errors import MetarlError, RunError


class TrainingDisplay:
    """A progress bar on a terminal; elsewhere a line for the first iteration, the last, and some twenty between."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._every = max(1, math.ceil(total / 20))
        self._progress: Progress | None = None
        self._before: tuple[float, int] = (0.0, 0)
        if sys.stderr.isatty():
            self._progress = Progress(
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.description}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._bar = self._progress.add_task("starting", total=total)

    def __enter__(self) -> TrainingDisplay:
        if self._progress:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress:
            self._progress.stop()

    def report(self, record: dict[str, Any]) -> None:
        """Show one iteration's record."""
        wall, steps = record["wall_seconds"], record["environment_steps"]
        if self._before == (0.0, 0):
            rate = steps / wall if wall else 0.0
        else:
            rate = (steps - self._before[1]) / max(wall - self._before[0], 1e-9)
        self._before = (wall, steps)
        # Outer updates without query data know no return after the last step.
        known = [value for value in record["return"] if value is not None]
        after = f", {known[-1]:.1f} after adaptation" if len(known) > 1 else ""
        text = f"return {known[0]:.1f}{' before' if after else ''}{after}, {rate:,.0f} steps/s"
        number = record["iteration"]
        if self._progress:
            self._progress.update(self._bar, completed=number, description=text)
        elif number == 1 or number == self._total or number % self._every == 0:
            print(f"iteration {number}/{self._total}: {text}", flush=True)


@contextmanager
def evaluation_progress() -> Iterator[Callable[[int, int], None]]:
    """A callback (done, total) that draws a bar on a terminal and nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    with Progress(
        TextColumn("adapting"),
        BarColumn(),
        MofNCompleteColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as progress:
        bar = progress.add_task("adapting", total=None)
        yield lambda done, total: progress.update(bar, completed=done, total=total)


def print_evaluation(result: dict[str, Any]) -> None:
    """The adaptation curve as a table, with the protocol under which it was measured."""
    where = f"{result['family']} {result['variant'] or ''}".strip()
    budget = (
        f"{result['samples_per_step']} samples"
        if result["samples_per_step"]
        else f"{result['episodes_per_step']} episodes"
    )
    table = Table(title=f"{where}, {result['split']}: {result['tasks']} tasks, {budget} a step")
    for column in ("step", "environment steps", "return", "standard error", "IQM", "95 % interval"):
        table.add_column(column, justify="right")
    curve = result["return"]
    for step, used in enumerate(result["environment_steps"]):
        table.add_row(
            str(step),
            str(used),
            *(_number(curve[name][step]) for name in ("mean", "standard_error", "iqm")),
            f"{_number(curve['ci95_low'][step])} to {_number(curve['ci95_high'][step])}",
        )
    console = Console(width=None if sys.stdout.isatty() else 100)
    console.print(table)
    worse = f"{result['worse_after_adaptation']} of {result['tasks']} tasks"
    console.print(f"worse after adaptation: {worse}; splits: {result['splits']}")
    console.print(
        "protocol: " + "; ".join(f"{name.replace('_', ' ')} {value}" for name, value in result["protocol"].items()),
        markup=False,
    )


def print_comparison(result: dict[str, Any]) -> None:
    """A row a method: interquartile means with intervals, the rate that was chosen, and the data it was given."""
    where = f"{result['family']} {result['variant'] or ''}".strip()
    table = Table(
        title=f"{where}, {result['split']}: IQM of returns over seeds x {result['tasks']} tasks, 95 % interval"
    )
    methods = result["methods"]
    for column in ("method", "seeds", "training steps", "rate", *(f"step {k}" for k in range(_points(methods)))):
        table.add_column(column, justify="left" if column == "method" else "right")
    for method in methods:
        curve = method["return"]
        steps = sum(method["training_environment_steps"]) / len(method["runs"])
        cells = [
            f"{_number(value)}\n[{_number(low)}, {_number(high)}]"
            for value, low, high in zip(curve["iqm"], curve["ci95_low"], curve["ci95_high"], strict=True)
        ]
        rate = "learned" if method["inner_lr"] is None else f"{method['inner_lr']:g}"
        table.add_row(method["label"], str(len(method["runs"])), f"{steps / 1e6:.2f}M", rate, *cells)
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    budgets = {steps for method in methods for steps in method["training_environment_steps"] if steps}
    if len(budgets) > 1 and max(budgets) > 1.05 * min(budgets):
        console.print(f"training budgets differ: {min(budgets) / 1e6:.2f}M to {max(budgets) / 1e6:.2f}M steps")
    for label, others in result["probability_of_improvement"].items():
        for other, probability in others.items():
            console.print(f"P({label} beats {other} after the last step) = {probability:.2f}", markup=False)


def _points(methods: list[dict[str, Any]]) -> int:
    return len(methods[0]["return"]["iqm"])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def write_json(path: Path, result: dict[str, Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror}") from None


def print_families() -> None:
    """Every registered family with its task space, horizon and variants; one that cannot be loaded says why."""
    from metarl.plugins import load_family, registered

    for name in registered():
        try:
            family = load_family(name)
            print(f"{name}: horizon {family.horizon}, splits {', '.join(family.splits.names)} ({family.splits.kind})")
            for entry, space in family.task_space.spaces.items():
                print(f"  task {entry}: {space}")
            for variant, description in family.variants.items():
                default = " (default)" if variant == family.variant else ""
                print(f"  variant {variant}{default}: {description}")
        except MetarlError as error:
            print(f"{name}: cannot be loaded: {error}")

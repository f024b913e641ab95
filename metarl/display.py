"""What the command line shows: progress, tables, JSON."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from metarl.domains import REINFORCEMENT_LEARNING, Domain
from metarl.errors import MetarlError, RunError
from metarl.launch import place_of_launch
from metarl.runs import Standing

STEPS_BESIDE = 4
"""Columns of adaptation steps that fit beside one another; more of them are rows."""


class TrainingDisplay:
    """A progress bar on a terminal; elsewhere a line for the first iteration, the last, and some twenty between."""

    def __init__(self, total: int, domain: Domain = REINFORCEMENT_LEARNING) -> None:
        self._total, self._domain = total, domain
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
        measure, unit = self._domain.measure, self._domain.unit
        wall, steps = record["wall_seconds"], record[unit]
        if self._before == (0.0, 0):
            rate = steps / wall if wall else 0.0
        else:
            rate = (steps - self._before[1]) / max(wall - self._before[0], 1e-9)
        self._before = (wall, steps)
        # Outer updates without query data know no return after the last step.
        known = [_number(value, 1) for value in record[measure] if value is not None] or ["-"]
        after = f", {known[-1]} after adaptation" if len(known) > 1 else ""
        succeeded = [_number(value) for value in record.get("success", []) if value is not None]
        success = f", success {' to '.join(dict.fromkeys((succeeded[0], succeeded[-1])))}" if succeeded else ""
        text = f"{_words(measure)} {known[0]}{' before' if after else ''}{after}{success}"
        text += f", {rate:,.0f} {unit.split('_')[-1]}/s"
        number = record["iteration"]
        if self._progress:
            self._progress.update(self._bar, completed=number, description=text)
        elif number == 1 or number == self._total or number % self._every == 0:
            print(f"iteration {number}/{self._total}: {text}", flush=True)


@contextmanager
def training_display(total: int, domain: Domain) -> Iterator[Callable[[dict[str, Any]], None] | None]:
    """A function that shows records, in the first process of a launch; None in the others."""
    if place_of_launch()[0]:
        yield None
        return
    with TrainingDisplay(total, domain) as display:
        yield display.report


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
    unit, measure = result["unit"], result["measure"]
    table = Table(title=f"{where}, {result['split']}: {result['tasks']} tasks, {result['budget']} a step")
    averages = {"mean": _words(measure), "standard_error": "standard error"}
    if result["average"] == "iqm":
        averages["iqm"] = "IQM"
    success = result.get("success")
    beside = ("success rate", "95 % interval") if success else ()
    for column in ("step", _words(unit), *averages.values(), "95 % interval", *beside):
        table.add_column(column, justify="right")
    curve = result[measure]
    for step, used in enumerate(result[unit]):
        table.add_row(
            str(step),
            str(used),
            *(_number(curve[name][step]) for name in averages),
            _interval(curve, step),
            *((_number(success["mean"][step]), _interval(success, step)) if success else ()),
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
    """Averages with intervals, the rate that was chosen, and the data it was given: a row a method, where that fits."""
    where = f"{result['family']} {result['variant'] or ''}".strip()
    what = f"{'IQM' if result['average'] == 'iqm' else 'mean'} of {_words(result['measure'])}"
    table = Table(title=f"{where}, {result['split']}: {what} over seeds x {result['tasks']} tasks, 95 % interval")
    methods, unit = result["methods"], result["unit"].split("_")[-1]
    shown = _steps_shown(result["steps"])
    beside = len(shown) <= STEPS_BESIDE
    found = [f"step {step}" for step in shown] if beside else ["step", _words(result["measure"])]
    for column in ("method", "seeds", f"training {unit}", f"{unit} a step", "rate", *found):
        table.add_column(column, justify="left" if column == "method" else "right")
    for method in methods:
        curve, adaptation = method[result["measure"]], method[f"adaptation_{result['unit']}"]
        steps = sum(method[f"training_{result['unit']}"]) / len(method["runs"])
        granted = f"{adaptation[1]:,}" if len(adaptation) > 1 else "-"
        rate = "learned" if method["inner_lr"] is None else f"{method['inner_lr']:g}"
        given = (method["label"], str(len(method["runs"])), f"{steps / 1e6:.2f}M", granted, rate)
        success, average = method.get("success"), result["average"]
        if beside:
            table.add_row(*given, *(_measured(curve, success, average, step, "\n") for step in shown))
            continue
        for step in shown:
            about = given if step == 0 else ("",) * len(given)
            measured = _measured(curve, success, average, step, " ")
            table.add_row(*about, str(step), measured, end_section=step == shown[-1])
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    budgets = {steps for method in methods for steps in method[f"training_{result['unit']}"] if steps}
    if len(budgets) > 1 and max(budgets) > 1.05 * min(budgets):
        console.print(f"training budgets differ: {min(budgets) / 1e6:.2f}M to {max(budgets) / 1e6:.2f}M {unit}")
    for label, others in result["probability_of_improvement"].items():
        for other, probability in others.items():
            console.print(f"P({label} beats {other} after the last step) = {probability:.2f}", markup=False)


def print_runs(standings: Iterable[Standing]) -> None:
    """A row a run."""
    table = Table()
    for column in ("run", "state", "algorithm", "on", "iteration", "saved", "last return"):
        table.add_column(column, justify="right" if column in ("iteration", "saved", "last return") else "left")
    for run in standings:
        reached = f"{'-' if run.iteration is None else run.iteration}/{'-' if run.total is None else run.total}"
        saved = "-" if run.saved is None else str(run.saved)
        texts = (escape(str(text)) for text in (run.run, run.state, run.algorithm, run.about))
        table.add_row(*texts, reached, saved, _number(run.measured))
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def _measured(curve: dict[str, Any], success: dict[str, Any] | None, average: str, step: int, then: str) -> str:
    """An average with its interval, and the success rate where there is one; `then` separates them."""
    low, high = (_number(curve[name][step]) for name in ("ci95_low", "ci95_high"))
    rate = f"{then}success {_number(success['mean'][step])}" if success else ""
    return f"{_number(curve[average][step])}{then}[{low}, {high}]{rate}"


def _steps_shown(last: int) -> list[int]:
    """All steps where they are few; otherwise the first ones and ever fewer of the later ones, up to the last."""
    if last < STEPS_BESIDE:
        return list(range(last + 1))
    later = (digit * 10**power for power in range(len(str(last))) for digit in (1, 2, 5))
    return [0, *sorted({step for step in later if step < last} | {3, last})]


def _number(value: float | None, digits: int = 2) -> str:
    """Two digits more for what is measured on a scale of one."""
    if value is None:
        return "-"
    return f"{value:.{digits if abs(value) > 1 else digits + 2}f}"


def _interval(curve: dict[str, Any], step: int) -> str:
    return f"{_number(curve['ci95_low'][step])} to {_number(curve['ci95_high'][step])}"


def _words(name: str) -> str:
    return name.replace("_", " ")


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

"""Progress displays of training and evaluation on a terminal."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from metarl.config.registry import REINFORCEMENT_LEARNING, ProblemKind
from metarl.core.launch import place_of_launch
from metarl.core.numbers import number_text, words


class TrainingDisplay:
    """A progress bar on a terminal; elsewhere one line for about twenty iterations, including the first and last.

    Args:
        total: Number of iterations.
        kind: The kind of problem.
    """

    def __init__(self, total: int, kind: ProblemKind = REINFORCEMENT_LEARNING) -> None:
        self._total, self._kind = total, kind
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
        measure, unit = self._kind.measure, self._kind.unit
        wall, steps = record["wall_seconds"], record[unit]
        if self._before == (0.0, 0):
            rate = steps / wall if wall else 0.0
        else:
            rate = (steps - self._before[1]) / max(wall - self._before[0], 1e-9)
        self._before = (wall, steps)
        # Outer updates without query data report no return after the last step.
        known = [number_text(value, 1) for value in record[measure] if value is not None] or ["-"]
        after = f", {known[-1]} after adaptation" if len(known) > 1 else ""
        succeeded = [number_text(value) for value in record.get("success", []) if value is not None]
        success = f", success {' to '.join(dict.fromkeys((succeeded[0], succeeded[-1])))}" if succeeded else ""
        text = f"{words(measure)} {known[0]}{' before' if after else ''}{after}{success}"
        text += f", {rate:,.0f} {unit.split('_')[-1]}/s"
        number = record["iteration"]
        if self._progress:
            self._progress.update(self._bar, completed=number, description=text)
        elif number == 1 or number == self._total or number % self._every == 0:
            print(f"iteration {number}/{self._total}: {text}", flush=True)


@contextmanager
def training_display(total: int, kind: ProblemKind) -> Iterator[Callable[[dict[str, Any]], None] | None]:
    """Open a display and yield a function that shows records; yields None in all processes except the first.

    Args:
        total: Number of iterations.
        kind: The kind of problem.
    """
    if place_of_launch()[0]:
        yield None
        return
    with TrainingDisplay(total, kind) as display:
        yield display.report


@contextmanager
def evaluation_progress() -> Iterator[Callable[[int, int], None]]:
    """Yield a callback (done, total) that draws a progress bar on a terminal; elsewhere it draws nothing."""
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

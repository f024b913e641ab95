"""metrics.csv and scores.csv: the records of a run as tables, for spreadsheets and pandas. Imports no torch."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from metarl.callbacks.callback import Callback, RunView
from metarl.callbacks.records import scalars
from metarl.core.errors import RunError
from metarl.runs.directory import read_metrics
from metarl.runs.durable import replace_file, writing

METRICS_CSV, SCORES_CSV = "metrics.csv", "scores.csv"


class CsvLogger(Callback):
    """Write `metrics.csv`, a row for each iteration, and `scores.csv`, a row for each scored checkpoint.

    Lists have a column for each element (`return.0`, `return.1`), dictionaries one for each entry
    (`seconds.collect`). A resumed run's rows are made from its own records, so the files are complete even if earlier
    parts of the run were trained without the logger.

    Example:
        >>> import tempfile
        >>> import metarl
        >>> options = {"iterations": 2, "meta_batch_size": 2, "episodes": 2, "validation_tasks": 0}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = metarl.train("maml-trpo", run_dir=f"{folder}/run", callbacks=[CsvLogger()], **options)
        ...     [line.split(",")[:2] for line in (run / "metrics.csv").read_text().splitlines()]
        [['iteration', 'environment_steps'], ['1', '800'], ['2', '1600']]
    """

    def __init__(self) -> None:
        self._columns: list[str] = []

    def on_start(self, run: RunView) -> None:
        """Write the rows of iterations that are done."""
        try:
            done = read_metrics(run.run_dir)
        except RunError:
            done = []
        rows = [scalars(record) for record in done if record["iteration"] <= run.iteration]
        self._columns = list(dict.fromkeys(name for row in rows for name in row))
        path = run.run_dir / METRICS_CSV
        if rows or path.exists():
            _write(path, self._columns, rows)
        self._write_scores(run)

    def on_iteration(self, run: RunView) -> None:
        """Append the row of an iteration."""
        row, path = scalars(run.metrics), run.run_dir / METRICS_CSV
        new = [name for name in row if name not in self._columns]
        if new:
            # A metric that was not there before is a column more, which the rows so far leave empty.
            before = _read(path)
            self._columns += new
            _write(path, self._columns, before)
        with writing(path), open(path, "a", encoding="utf-8", newline="") as file:
            file.write(_lines(self._columns, [row]))

    def on_checkpoint(self, run: RunView) -> None:
        """Write the scores with that of the checkpoint."""
        self._write_scores(run)

    def _write_scores(self, run: RunView) -> None:
        rows = [{"iteration": number, "score": score} for number, score in run.scores.items()]
        if rows:
            _write(run.run_dir / SCORES_CSV, ["iteration", "score"], rows)


def _lines(columns: list[str], rows: Iterable[dict], head: bool = False) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    if head:
        writer.writeheader()
    writer.writerows({name: "" if value is None else value for name, value in row.items()} for row in rows)
    return text.getvalue()


def _read(path: Path) -> list[dict]:
    if not path.is_file():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _write(path: Path, columns: list[str], rows: Iterable[dict]) -> None:
    with writing(path):
        replace_file(path, _lines(columns, rows, head=True))

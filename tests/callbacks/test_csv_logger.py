"""Metrics as CSV: every record, also of iterations that were trained without the logger."""

import csv
import json

import metarl
from metarl.callbacks import CsvLogger, scalars
from tests.helpers.callbacks import train


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_rows_are_the_records(tmp_path):
    run = train(tmp_path / "run", iterations=2)
    metarl.resume(run, iterations=4, extend_schedule=True, callbacks=[CsvLogger()])
    records = [scalars(json.loads(line)) for line in (run / "metrics.jsonl").read_text().splitlines()]
    found = rows(run / "metrics.csv")
    assert [{name: float(value) for name, value in row.items() if value} for row in found] == records
    scores = rows(run / "scores.csv")
    assert [row["iteration"] for row in scores] == ["2", "4"]


def test_a_new_metric_is_a_new_column(tmp_path):
    from dataclasses import replace

    from metarl.callbacks import RunView

    logger, view = CsvLogger(), RunView("maml", None, tmp_path, 1, 2)
    logger.on_start(view)
    logger.on_iteration(replace(view, metrics={"iteration": 1, "return": [1.0]}))
    logger.on_iteration(replace(view, metrics={"iteration": 2, "return": [2.0], "kl": 0.5}))
    assert (tmp_path / "metrics.csv").read_text() == "iteration,return.0,kl\n1,1.0,\n2,2.0,0.5\n"

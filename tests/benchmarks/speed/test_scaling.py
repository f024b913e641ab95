"""Iterations of several processes, and the model of many."""

import json

import pytest

from benchmarks.speed import scaling
from metarl.core.errors import ConfigError

PARAMETERS = 2 * 64 + 64 + 64 * 64 + 64 + 64 * 2 + 2 + 2
"""Of the 64-64 policy on 2-D navigation."""


def test_what_two_processes_exchange_is_a_matter_of_parameters():
    options = scaling.Options(iterations=1, episodes=2)
    found = scaling.run(scaling.Arrangement(2, 1, 3), options)
    bytes_sent, value = found["exchanged_bytes"], 4
    assert bytes_sent["adapt"] == 0
    assert bytes_sent["gradient"] == value * (PARAMETERS + 2)  # the loss with the number of tasks
    products = 1 + 10  # one when the pull-back is recorded, and the steps of conjugate gradients
    assert bytes_sent["curvature"] == value * products * PARAMETERS + 2 * 8  # with the number of tasks
    assert bytes_sent["line_search"] == 4 * value * (1 + found["rescalings"] + found["backtracks"])
    assert bytes_sent["state"] == value * PARAMETERS + 8  # with the number of transitions
    assert len(found["seconds"]) == 1
    assert found["beside_iterations"] > 0


def test_the_report_compares_shapes():
    def runs(seconds):
        return [{"seconds": seconds, "exchanged_bytes": {"adapt": 7}, "backtracks": 0, "beside_iterations": 1.0}]

    shapes = {
        (1, 1, 20): [4.0, 9.0, 5.0], (2, 1, 20): [2.5], (1, 2, 20): [2.0],
        (1, 1, 40): [6.0], (2, 1, 40): [5.0], (1, 2, 40): [5.5], (2, 1, 20, True): [9.0],
    }  # fmt: skip
    rows = [{**scaling.Arrangement(*shape)._asdict(), "runs": runs(seconds)} for shape, seconds in shapes.items()]
    facts = {"cores": 2, "load_before": 0.1, "python": "3", "torch": "2", "torch_threads": 1}
    text = scaling.report({"machine": facts, "arrangements": rows})
    assert text.startswith("machine: 2 cores (load 0.1 before), Python 3, torch 2\n")
    assert "with 20 tasks two processes with a thread each are 2.00 times faster than one with one (effi" in text
    assert "with one (efficiency 100%)\nand 0.80 times as fast as one with two threads" in text
    assert "with 40 tasks two processes with a thread each are 1.20 times faster" in text
    assert "1.20 times faster than one with one (efficiency 60%)\nand 1.10 times as fast as one with two thr" in text
    assert "  2 x 1 thread, 20 tasks, sums ordered: adapt 7; 7 in all (0 backtracks)" in text


def test_every_arrangement_is_run_in_every_round(monkeypatch, capsys, tmp_path):
    ran = []

    def run(arrangement, options):
        ran.append(arrangement)
        return {"seconds": [1.0], "exchanged_bytes": {}, "backtracks": 0, "beside_iterations": 1.0}

    monkeypatch.setattr(scaling, "run", run)
    scaling.main(["--tasks", "2", "--rounds", "2", "--json", str(tmp_path / "s.json")])
    assert len(ran) == 16
    assert ran[:8] == ran[8:]
    assert {shape[:2] for shape in ran} == set(scaling.SHAPES)
    written = json.loads((tmp_path / "s.json").read_text())["arrangements"]
    assert [len(row["runs"]) for row in written] == [2] * 8
    with pytest.raises(ConfigError, match="--tasks = 1; expected a whole number of at least 2"):
        scaling.main(["--tasks", "1"])


def test_the_model_of_an_iteration():
    options = scaling.ModelOptions(
        seconds_per_task=0.5, fixed=0.25, meetings=3, bytes=1000, latency=0.01, bandwidth=4000.0, drawing=0.125
    )
    assert scaling.terms(options, 0.125, 1, 10) == {
        "drawing": 1.25, "tasks": 5.0, "fixed": 0.25, "latency": 0.0, "volume": 0.0
    }  # fmt: skip
    shared = scaling.terms(options, 0.125, 8, 10)
    assert shared == pytest.approx({"drawing": 1.25, "tasks": 1.0, "fixed": 0.25, "latency": 0.18, "volume": 0.5})
    assert "| 1,000 | 10 |" in scaling.report_model(scaling.predict(options))


def test_the_model_measures_how_long_tasks_take_to_draw(capsys, tmp_path):
    scaling.model(["--json", str(tmp_path / "m.json")])
    result = json.loads((tmp_path / "m.json").read_text())
    assert 0 < result["drawing"] < 1e-2
    assert len(result["rows"]) == len(scaling.RANKS) * len(scaling.TASKS)
    assert f"drawing a task: {result['drawing'] * 1e6:.1f} us" in capsys.readouterr().out

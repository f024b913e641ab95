"""The comparison of methods: a search of rates that is the same for all, and a table."""

import json
from dataclasses import replace

import pytest

from benchmarks.results import compare_methods
from benchmarks.results.methods import SUITES, methods_on
from metarl.config.toml import load_preset
from metarl.core.errors import ConfigError
from metarl.runs.directory import read_metrics


def test_the_search_goes_on_until_the_best_is_inside(monkeypatch, tmp_path):
    """Performances with a peak at outer 0.081 and inner 0.05, far from the start of the search."""
    import math

    def performance(run, config):
        return -abs(math.log(config.adam.lr / 0.081)) - abs(math.log(config.inner.lr / 0.05))

    def finished(place, algorithm, config):
        asked.append(config.seed)
        return place

    asked: list[int] = []
    monkeypatch.setattr(compare_methods, "finished_run", finished)
    suite = SUITES["coupled-direction"]
    found = compare_methods.tuned(tmp_path, methods_on(suite)["MAML"], suite, most=6, score=performance)
    assert found.outer == pytest.approx(0.081)
    assert found.inner == pytest.approx(0.05)
    assert found.at_edge == []
    assert len(found.trials["outer"]) == 6
    # The search has one seed, and its three best trials two more.
    assert (asked.count(1000), asked.count(1001), asked.count(1002)) == (found.trainings - 6, 3, 3)
    short = compare_methods.tuned(tmp_path, methods_on(suite)["MAML"], suite, most=3, score=performance)
    assert short.at_edge == ["outer", "inner"]


def test_the_three_best_trials_are_repeated_with_more_seeds(monkeypatch, tmp_path):
    """The first seed flatters outer rate 0.009; the mean over three seeds prefers the next best."""
    scores = {
        (0.001, 1000): 1.0, (0.003, 1000): 5.0, (0.009, 1000): 6.0, (0.027, 1000): 2.0,
        (0.003, 1001): 5.0, (0.003, 1002): 4.0, (0.009, 1001): 0.0, (0.009, 1002): 3.0,
        (0.027, 1001): 2.0, (0.027, 1002): 2.0,
    }  # fmt: skip
    monkeypatch.setattr(compare_methods, "finished_run", lambda place, algorithm, config: (config.adam.lr, config.seed))
    suite = SUITES["rover-direction"]
    found = compare_methods.tuned(
        tmp_path, methods_on(suite)["joint training"], suite, 5, lambda run, config: scores[round(run[0], 6), run[1]]
    )
    assert found.outer == pytest.approx(0.003)
    assert found.trials["finals"] == {
        "0.009, 0.1": pytest.approx(3.0), "0.003, 0.1": pytest.approx(14 / 3), "0.027, 0.1": pytest.approx(2.0),
    }  # fmt: skip
    assert found.trainings == 4 + 3 * 2


def test_the_table_is_made(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("metarl.evaluation.comparison.VALIDATION_TASKS", 2)
    monkeypatch.setattr("metarl.evaluation.comparison.VALIDATION_EPISODES", 2)
    monkeypatch.setattr("metarl.evaluation.comparison.MOST_RATES", 3)
    monkeypatch.setattr(compare_methods, "FINALISTS", 1)
    monkeypatch.setitem(SUITES, "coupled-direction", replace(SUITES["coupled-direction"], budget=100_000))
    options = compare_methods.Options(
        out=tmp_path,
        families=("coupled-direction",),
        methods=("MAML", "oracle"),
        tasks=3,
        quick=True,
    )
    compare_methods.make_tables(options)
    table = capsys.readouterr().out
    place = tmp_path / "coupled-direction"
    result = json.loads((place / "table.json").read_text())
    assert {entry["label"] for entry in result["methods"]} == {"MAML", "oracle", "scratch"}
    assert all(f"| {entry['label']} |" in table for entry in result["methods"])
    assert {len(entry["runs"]) for entry in result["methods"]} == {2}
    assert (place / "curves.png").stat().st_size > 5000
    assert result["probability_of_improvement"]["MAML"].keys() == {"oracle", "scratch"}
    assert "trainings, 3 seeds" in table
    assert result["command"].endswith("--families coupled-direction --methods MAML oracle")
    assert len(result["commit"].removesuffix("-dirty")) == 40
    # What is shipped as a preset is what was trained.
    config, _ = load_preset("maml", str(place / "maml" / "preset.toml"))
    (run,) = (place / "maml").glob(f"{config.adam.lr:.4g}-{config.inner.lr:.4g}-seed-11")
    assert len(read_metrics(run)) == config.iterations
    # Made again, nothing is trained again.
    monkeypatch.setattr("metarl.training.loop.Training.iterate", lambda self: pytest.fail("trained again"))
    compare_methods.make_tables(options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--families", "rover-directon"], "--families = rover-directon: unknown .*did you mean 'rover-direction'"),
        (["--methods", "ANILL"], "--methods = ANILL: unknown.*did you mean 'ANIL'"),
        (["--seeds", "x"], "--seeds"),
    ],
)
def test_unknown_rows_are_refused(options, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        compare_methods.main(["--out", str(tmp_path), *options])
    assert list(tmp_path.iterdir()) == []

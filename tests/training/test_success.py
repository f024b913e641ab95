"""Success rates: counted if reached at any step of the episode, and reported beside returns."""

import json

import pytest

import metarl
from metarl.config.algorithms import MamlTrpoConfig, ReptileConfig
from metarl.config.run import InnerConfig, PolicyConfig
from metarl.core.prng import Key
from metarl.evaluation.comparison import compare
from metarl.evaluation.plots import plot_curves
from metarl.evaluation.tables import print_comparison, print_evaluation
from metarl.runs.directory import read_metrics
from metarl.runs.manifest import read_manifest
from metarl.training.start import train
from tests.helpers.families import REACHING, by_hand
from tests.helpers.successes import BY_HAND, RATES


@pytest.fixture(params=[False, True], ids=["plain", "ordered"])
def run(tmp_path, request):
    config = MamlTrpoConfig(
        family="tests.helpers.families:REACHING", iterations=1, meta_batch_size=5, episodes=2, validation_tasks=4,
        ordered_sums=request.param, inner=InnerConfig(lr=0.1), policy=PolicyConfig(hidden_sizes=(4,)),
    )  # fmt: skip
    train("maml-trpo", config, tmp_path / "run")
    return tmp_path / "run"


def test_training_and_validation_report_success(run):
    root = Key.from_seed(1)
    tasks = REACHING.sample_tasks(5, "meta-train", root.at("tasks", 1).generator())
    (record,) = read_metrics(run)
    rate = pytest.approx(by_hand(tasks).mean())
    assert record["success"] == [rate, rate]
    held_out = REACHING.sample_tasks(4, "meta-validation", root.at("meta-validation", "tasks").generator())
    rate = pytest.approx(by_hand(held_out).mean())
    validated = read_manifest(run / "checkpoints" / "00000001")["meta_validation"]
    assert validated["success"] == [rate, rate]
    assert validated["score"] == validated["return"][-1]


def test_query_less_updates_report_what_they_saw(tmp_path):
    config = ReptileConfig(
        family="tests.helpers.families:REACHING", iterations=1, meta_batch_size=2, episodes=2, validation_tasks=0,
        inner=InnerConfig(lr=0.1, steps=2), policy=PolicyConfig(hidden_sizes=(4,)),
    )  # fmt: skip
    train("reptile", config, tmp_path / "run")
    before, between, after = read_metrics(tmp_path / "run")[0]["success"]
    assert before == between
    assert after is None


def test_evaluation_and_comparison_report_success(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("metarl.evaluation.comparison.VALIDATION_TASKS", 2)
    monkeypatch.setattr("metarl.evaluation.comparison.MOST_RATES", 3)
    monkeypatch.setenv("COLUMNS", "140")
    listed = [{"at": int(at), "ends": int(ends)} for at, ends in zip(*BY_HAND.values(), strict=True)]
    (tmp_path / "tasks.json").write_text(json.dumps(listed))
    result = metarl.evaluate(run, split=str(tmp_path / "tasks.json"), episodes=2, steps=2)
    assert result["success_per_task"] == [[rate] * 3 for rate in RATES]
    assert result["success"]["mean"] == [0.5] * 3
    assert 0 <= result["success"]["ci95_low"][0] < 0.5 < result["success"]["ci95_high"][0] <= 1
    print_evaluation(result)
    assert "success rate" in capsys.readouterr().out
    plot_curves({"trained": result}, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 5000

    compared = compare([run], tasks=3, episodes=2, steps=1)
    where = Key.from_seed(1).at("evaluation", "tasks", REACHING.name, "", "meta-test")
    rate = pytest.approx(by_hand(REACHING.sample_tasks(3, "meta-test", where.generator())).mean())
    assert compared["methods"][0]["success"]["mean"] == [rate, rate]
    print_comparison(compared)
    assert "success" in capsys.readouterr().out

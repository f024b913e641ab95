"""Comparison statistics against hand-computed cases, and the command."""

import json
from dataclasses import replace

import numpy as np
import pytest

from metarl.config.algorithms import MamlConfig, ReptileConfig
from metarl.config.memory import MemoryPolicyConfig, PpoConfig, Rl2Config
from metarl.config.run import InnerConfig, PolicyConfig
from metarl.core.errors import ConfigError
from metarl.evaluation.comparison import choose_rate, common_axis, compare, methods_of
from metarl.training.start import train
from tests.helpers.cli import metarl


def test_the_best_rate_is_looked_for_until_it_is_inside():
    asked = []

    def score(rate):
        asked.append(rate)
        return -abs(np.log2(rate / 6.4))

    best, tried = choose_rate(score, 0.1)
    assert best == 6.4
    assert list(tried) == sorted(asked)
    assert min(tried) < best < max(tried)
    assert choose_rate(lambda rate: -abs(np.log2(rate / 0.025)), 0.1)[0] == 0.025
    assert choose_rate(lambda rate: 1.0 if rate == 0.1 else float("nan"), 0.1)[0] == 0.1
    assert len(choose_rate(lambda rate: rate, 0.1)[1]) == 12


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    place = tmp_path_factory.mktemp("compared")
    shared = {
        "variant": "finn17", "iterations": 1, "meta_batch_size": 2, "episodes": 2, "validation_tasks": 0,
        "policy": PolicyConfig(hidden_sizes=(8,)),
    }  # fmt: skip
    config = MamlConfig(inner=InnerConfig(lr=0.5, later_lr=0.25), **shared)
    train("maml", config, place / "a1")
    train("maml", replace(config, seed=2), place / "a2")
    train("maml", replace(config, inner=replace(config.inner, first_order=True)), place / "f1")
    train("reptile", ReptileConfig(**shared), place / "r1")
    train("maml", replace(config, inner=replace(config.inner, learned_lr="per-layer")), place / "s1")
    train("maml", replace(config, variant="wide"), place / "w1")
    memory = MemoryPolicyConfig(memory_size=4, hidden_sizes=(4,))
    recurrent = {name: value for name, value in shared.items() if name != "policy"} | {"policy": memory}
    train("rl2", Rl2Config(**recurrent, ppo=PpoConfig(minibatches=1)), place / "m1")
    return place


def test_runs_that_differ_in_their_seed_are_one_method(runs):
    methods = methods_of([runs / name for name in ("a1", "a2", "f1", "r1")], scratch=True)
    assert [(m.label, len(m.runs)) for m in methods] == [
        ("maml (inner.first_order False)", 2),
        ("maml (inner.first_order True)", 1),
        ("reptile", 1),
        ("scratch", 2),
    ]
    with pytest.raises(ConfigError, match="navigation2d finn17 and navigation2d wide"):
        methods_of([runs / "a1", runs / "w1"])


def test_scratch_beside_learned_rates(runs, monkeypatch):
    """Scratch adapts everything at a chosen rate where a run does so, and at its initial rates where none does."""
    monkeypatch.setattr("metarl.evaluation.comparison.VALIDATION_TASKS", 1)
    monkeypatch.setattr("metarl.evaluation.comparison.VALIDATION_EPISODES", 1)
    monkeypatch.setattr("metarl.evaluation.comparison.MOST_RATES", 3)
    assert methods_of([runs / "s1", runs / "r1"], scratch=True)[-1].runs == (runs / "r1",)
    result = compare([runs / "s1"], tasks=2, episodes=2, steps=1, scratch=True)
    learned, scratch = result["methods"]
    assert learned["inner_lr"] is scratch["inner_lr"] is None
    assert learned["return"]["mean"] != scratch["return"]["mean"]


def test_compare_on_the_command_line(runs, tmp_path, monkeypatch):
    monkeypatch.setattr("metarl.evaluation.comparison.VALIDATION_TASKS", 2)
    monkeypatch.setattr("metarl.evaluation.comparison.VALIDATION_EPISODES", 2)
    monkeypatch.setattr("metarl.evaluation.comparison.MOST_RATES", 4)
    code, out, err = metarl(
        "compare {r}/a1 {r}/a2 {r}/r1 --scratch --tasks 3 --episodes 2 --steps 2 --json {t}/c.json --plot {t}/c.png",
        r=runs, t=tmp_path,
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert "P(maml beats reptile after the last step)" in out
    result = json.loads((tmp_path / "c.json").read_text())
    assert [m["label"] for m in result["methods"]] == ["maml", "reptile", "scratch"]
    for method in result["methods"]:
        assert len(method["return"]["iqm"]) == 3
        assert f"{method['inner_lr']:g}" in method["rates_tried"]
    maml, _, scratch = result["methods"]
    assert maml["later_inner_lr"] == maml["inner_lr"] / 2
    assert maml["seeds"] == [1, 2]
    assert scratch["training_environment_steps"] == [0, 0]
    assert (tmp_path / "c.png").stat().st_size > 5000


def test_what_cannot_be_compared_is_said(runs):
    assert "missing: RUN" in metarl("compare")[2]
    assert "--choose-at = 9" in metarl("compare {r}/a1 --choose-at 9", r=runs)[2]
    assert "different environments" in metarl("compare {r}/a1 {r}/w1", r=runs)[2]


def test_both_readings_on_one_axis(runs, tmp_path, monkeypatch):
    """Two episodes of 100 steps a point by gradients, one by memory: 400 steps are two points, or four."""
    monkeypatch.setattr("metarl.evaluation.comparison.VALIDATION_TASKS", 2)
    monkeypatch.setattr("metarl.evaluation.comparison.VALIDATION_EPISODES", 2)
    monkeypatch.setattr("metarl.evaluation.comparison.MOST_RATES", 2)
    line = "compare {r}/a1 {r}/m1 --tasks 4 --episodes 2 --adaptation-budget 400 --json {t}/c.json"
    code, out, err = metarl(line, r=runs, t=tmp_path)
    assert (code, err) == (0, "")
    result = json.loads((tmp_path / "c.json").read_text())
    gradient, memory = result["methods"]
    assert gradient["adaptation_environment_steps"] == [0, 200, 400]
    assert memory["adaptation_environment_steps"] == [0, 100, 200, 300, 400]
    axis = result["common_axis"]
    assert axis["budgets"] == [0, 100, 200, 300, 400]
    assert axis["points"] == {"maml": [0, 0, 1, 1, 2], "rl2": [0, 1, 2, 3, 4]}
    for method in (gradient, memory):
        after, during = method["return"]["mean"], method["while_adapting"]["mean"]
        assert during[0] is None
        assert during[1:] == pytest.approx([np.mean(after[:k]) for k in range(1, len(after))])
    assert "while adapting" in out
    code, _, err = metarl("compare {r}/a1 {r}/m1 --episodes 2 --adaptation-budget 150", r=runs, t=tmp_path)
    assert code == 2
    assert "--adaptation-budget = 150; expected at least 200, which maml uses up to step 1" in err


def test_budgets_are_thinned_and_a_curve_ends_where_it_ends():
    found = common_axis({"memory": list(range(0, 210, 10)), "gradient": [0, 100]})
    assert found["budgets"] == [0, 30, 60, 90, 110, 140, 170, 200]
    assert found["points"]["gradient"] == [0, 0, 0, 0, None, None, None, None]
    assert found["points"]["memory"] == [0, 3, 6, 9, 11, 14, 17, 20]


def test_the_support_data_is_what_was_measured(runs):
    """The return while adapting up to step 1 is that of the episodes at step 0."""
    from metarl.evaluation.evaluate import evaluate_run

    result = evaluate_run(runs / "a1", tasks=3, episodes=2, steps=1)
    assert result["while_adapting"]["mean"][1] == pytest.approx(result["return"]["mean"][0])

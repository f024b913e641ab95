"""Tables of trials: what counts as the return of a trial, and what stands in the table."""

import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.results import in_context
from benchmarks.results.cheetah_memory import Options as CheetahMemory
from benchmarks.results.compare_methods import Tuned
from benchmarks.results.duan16 import SETTINGS
from benchmarks.results.duan16 import Options as Duan16
from benchmarks.results.in_context import make_tables, markdown, trial_so_far
from metarl.core.errors import ConfigError
from metarl.evaluation.statistics import pooled

TINY = replace(SETTINGS["bandit-n10-k5"], divisor=100_000, tasks=6, trials=2, validation_tasks=3)


def test_a_trial_counts_every_support_episode(monkeypatch):
    """Three points of five episodes each: 5 x 0.2, 5 x (0.2 + 0.4), 5 x (0.2 + 0.4 + 0.6)."""
    monkeypatch.setattr(in_context, "evaluate", lambda run, **options: {"return": {"mean": [0.2, 0.4, 0.6]}})
    assert trial_so_far("run", episodes=5)["return"]["mean"] == pytest.approx([1.0, 3.0, 6.0])


def test_all_rows_have_the_same_environment_steps():
    for setting in SETTINGS.values():
        config = setting.rl2
        assert setting.suite.budget == setting.steps
        assert setting.steps % (config.meta_batch_size * config.episodes) == 0
        assert (setting.updates + 1) * setting.suite.episodes == setting.episodes
    assert SETTINGS["bandit-n10-k5"].episodes == 10
    assert SETTINGS["bandit-n100-k5"].updates == 4


def test_the_table_is_made(tmp_path, monkeypatch, capsys):
    found = Tuned(outer=0.01, inner=2.0, trials={}, trainings=7, at_edge=[])
    monkeypatch.setattr(in_context, "tuned", lambda *given: found)
    monkeypatch.setattr("metarl.evaluation.comparison.MOST_RATES", 3)
    options = Duan16(out=tmp_path, methods=("Reptile",), seeds=(11, 12))
    make_tables("duan16", {"tiny": TINY}, options)
    table = capsys.readouterr().out
    result = json.loads((tmp_path / "tiny" / "table.json").read_text())
    assert result["command"] == "python -m benchmarks.results duan16 --settings tiny --methods Reptile"
    assert result["rows"].keys() == {"RL2", "Reptile"}
    assert result["rows"]["Reptile"]["search"]["trainings"] == 7
    for name, row in result["rows"].items():
        assert len(row["episode"]) == 10
        assert row["trial"]["mean"][0] == pytest.approx(sum(row["episode"]))
        assert row["trial"]["worst_seed"][0] == pytest.approx(min(row["trial_of_seeds"]))
        assert f"| {name} | {row['trial']['mean'][0]:.2f} (" in table
    # Reptile adapts once, after five pulls.
    reptile = result["rows"]["Reptile"]["episode"]
    assert len(set(reptile[:5])) == len(set(reptile[5:])) == 1
    assert "| bayes-optimal, exact |" in table
    assert "| SNAIL, repro | 6.8 |" in table


def test_a_family_without_references(tmp_path, capsys):
    """Rows of two further episodes, no share of an optimum, and no gradient methods."""
    setting = replace(TINY, gradient=None, reference_trials=None, further_episodes=2, published={"paper": 7.0})
    make_tables("cheetah-memory", {"tiny": setting}, replace(CheetahMemory(), out=tmp_path, seeds=(11, 12)))
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    result = json.loads((tmp_path / "tiny" / "table.json").read_text())
    assert result["command"] == "python -m benchmarks.results cheetah-memory --settings tiny"
    assert len(result["rows"]["RL2"]["episode"]) == 12
    assert "share" not in lines[0]
    assert [line.count("|") for line in lines] == [lines[0].count("|")] * 4
    with pytest.raises(ConfigError, match="--methods = ProMP: unknown"):
        make_tables("cheetah-memory", {"tiny": setting}, replace(CheetahMemory(), out=tmp_path, methods=("ProMP",)))


def test_an_unknown_setting_is_named(tmp_path):
    options = Duan16(out=tmp_path, settings=("bandit-n10-k6",))
    with pytest.raises(ConfigError, match=r"--settings = bandit-n10-k6: unknown .*; did you mean 'bandit-n10-k5'"):
        make_tables("duan16", SETTINGS, options)


def test_the_share_of_the_best_reference():
    returns = np.array([[[1.0, 3.0], [3.0, 5.0]], [[2.0, 2.0], [2.0, 6.0]]])
    row = {"trial": pooled(returns.sum(-1, keepdims=True), "mean"), "episode": [2.0, 4.0], "seconds": [10.0, 14.0]}
    rows = [
        {"name": "oracle", "trial": 10.0, "mean": [5.0, 5.0], "exact": True},
        {"name": "bayes-optimal", "trial": 8.0, "mean": [3.0, 5.0], "exact": True},
    ]
    known = {"rows": rows, "best": "bayes-optimal"}
    result = {"episodes": 2, "references": known, "rows": {"RL2": row}, "published": {"paper": 7.0}}
    lines = markdown(result).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert "share of bayes-optimal" in lines[0]
    assert lines[2].startswith("| RL2 | 6.00 (6.00 to 6.00; ")
    assert "| 6.00 | 75.0% | 2.00 | 4.00 | 12 |" in lines[2]
    assert lines[3].startswith("| oracle, exact | 10.00 | | 125.0% | 5.00 | 5.00 |")
    assert lines[5].startswith("| paper | 7 | |")

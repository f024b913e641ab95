"""The table of Reptile around PPO of Stable-Baselines3."""

import json
from dataclasses import replace

import pytest

pytest.importorskip("stable_baselines3", reason="stable-baselines3 is not installed (extra sb3)")

from benchmarks.results import reptile_sb3
from metarl.config.sb3 import Sb3Options
from metarl.config.validation import validate


@pytest.mark.parametrize("family", reptile_sb3.SETTINGS)
def test_both_methods_get_the_same_data(family):
    found = reptile_sb3.configured(reptile_sb3.Options(family=family), 3)
    for config in found.values():
        validate(config)
    reptile, pretrain = found["reptile-sb3"], found["pretrain-sb3"]
    for name in ("family", "variant", "seed", "iterations", "meta_batch_size", "gamma", "sb3", "inner"):
        assert getattr(reptile, name) == getattr(pretrain, name)
    assert reptile.outer == "plain"


def test_the_table_is_made(tmp_path, capsys, monkeypatch):
    setting = reptile_sb3.SETTINGS["navigation2d"]
    small = Sb3Options(timesteps=40, n_envs=2, settings='{"n_steps": 20, "batch_size": 20, "n_epochs": 1}')
    monkeypatch.setitem(reptile_sb3.SETTINGS, "navigation2d", replace(setting, sb3=small))
    monkeypatch.setattr(reptile_sb3, "STEPS", 2)
    monkeypatch.setattr(reptile_sb3, "VALIDATION", {"tasks": 1, "episodes": 1})
    monkeypatch.setattr("metarl.evaluation.comparison.MOST_RATES", 3)
    line = f"--out {tmp_path} --seeds 1 --iterations 1 --tasks 2 --methods reptile-sb3"
    reptile_sb3.main(line.split())
    printed = capsys.readouterr().out
    result = json.loads((tmp_path / "navigation2d" / "table.json").read_text())
    assert len(result["methods"]) == 2  # scratch is added
    assert all(f"| {entry['label']} |" in printed for entry in result["methods"])
    assert "| method | 0 | 40 | 80 | IQM at 80 | rate | training steps |" in printed

"""2-D navigation under the protocol of Finn et al. (2017)."""

import torch

from benchmarks.results import finn17_navigation2d as finn17
from metarl.config.toml import load_preset


def test_first_to_finish_by_hand(monkeypatch):
    """Episodes of 3, 2 and of 4, 1 steps in two sub-environments; of 5 samples the third to end is the last."""
    monkeypatch.setattr(finn17, "SAMPLES", 5)
    lengths = torch.tensor([[3, 4], [2, 1]])
    assert finn17.first_to_finish(lengths, lengths.cumsum(0)).tolist() == [[True, True], [False, False]]
    monkeypatch.setattr(finn17, "SAMPLES", 8)
    assert finn17.first_to_finish(lengths, lengths.cumsum(0)).tolist() == [[True, True], [True, True]]


def test_the_random_rows_differ_in_their_hidden_units_alone(monkeypatch):
    monkeypatch.setattr(finn17, "TASKS", 3)
    monkeypatch.setattr(finn17, "EPISODES", 2)
    monkeypatch.setattr(finn17, "STEPS", 0)
    preset, _ = load_preset("maml-trpo", "finn17-navigation2d")
    relu, tanh = (finn17.random_curve(preset, activation) for activation in ("relu", "tanh"))
    assert relu != tanh
    assert relu == finn17.random_curve(preset, "relu")


def test_the_table_is_made(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(finn17, "STEPS", 1)
    monkeypatch.setattr(finn17, "TASKS", 2)
    monkeypatch.setattr(finn17, "PUBLISHED", {})
    finn17.main(["--out", str(tmp_path), "--seeds", "1", "--iterations", "1"])
    table = capsys.readouterr().out
    assert "| **MAML-TRPO, mean of seeds: 40 episodes a step** |" in table
    assert "oracle (goal observed), seed 1" in table
    assert "| random initialisation, tanh as published, mean of seeds |" in table
    assert (tmp_path / "table.json").exists()

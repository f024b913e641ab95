"""2-D navigation under the protocol of Finn et al. (2017)."""

import torch

from benchmarks.results import finn17_navigation2d as finn17


def test_first_to_finish_by_hand(monkeypatch):
    """Episodes of 3, 2 and of 4, 1 steps in two sub-environments; of 5 samples the third to end is the last."""
    monkeypatch.setattr(finn17, "SAMPLES", 5)
    lengths = torch.tensor([[3, 4], [2, 1]])
    assert finn17.first_to_finish(lengths, lengths.cumsum(0)).tolist() == [[True, True], [False, False]]
    monkeypatch.setattr(finn17, "SAMPLES", 8)
    assert finn17.first_to_finish(lengths, lengths.cumsum(0)).tolist() == [[True, True], [True, True]]


def test_the_table_is_made(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(finn17, "STEPS", 1)
    monkeypatch.setattr(finn17, "TASKS", 2)
    monkeypatch.setattr(finn17, "PUBLISHED", {})
    finn17.main(["--out", str(tmp_path), "--seeds", "1", "--iterations", "1"])
    table = capsys.readouterr().out
    assert "| **MAML-TRPO, mean of seeds: 40 episodes a step** |" in table
    assert "oracle (goal observed), seed 1" in table
    assert (tmp_path / "table.json").exists()

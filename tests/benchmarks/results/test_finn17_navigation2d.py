"""2-D navigation under the protocol of Finn et al. (2017)."""

import json

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
    assert (relu != tanh).all()
    assert (relu == finn17.random_curve(preset, "relu")).all()


def test_the_table_is_made(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(finn17, "STEPS", 1)
    monkeypatch.setattr(finn17, "TASKS", 3)
    monkeypatch.setattr(finn17, "PUBLISHED", {"MAML, published": [-40.0, -11.0]})
    finn17.main(["--out", str(tmp_path), "--seeds", "1", "2", "--iterations", "1"])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    result = json.loads((tmp_path / "table.json").read_text())
    assert result["command"] == "python -m benchmarks.results finn17-navigation2d --iterations 1 --seeds 1 2"
    row = result["rows"]["MAML-TRPO: 40 episodes a step"]
    assert lines[2].startswith(f"| MAML-TRPO: 40 episodes a step | {row['mean'][0]:.2f} ({row['ci95_low'][0]:.2f} to ")
    assert lines[3] == f"| worst of the seeds | {row['worst_seed'][0]:.2f} | {row['worst_seed'][1]:.2f} |"
    assert row["worst_seed"][0] < row["mean"][0]
    assert lines[-2].startswith("| oracle (goal observed), seed 1 |")
    assert lines[-1] == "| MAML, published | -40.00 | -11.00 |"
    assert {line.count("|") for line in lines} == {4}

"""The benchmark of sampling counts steps of sub-environments and transitions."""

import json

import pytest

from benchmarks.speed import sampling
from metarl.core.errors import FamilyError


@pytest.mark.parametrize(
    ("family", "horizon"), [("point-robot", 20), ("cartpole", 200), ("tabular-mdp", 10), ("bernoulli-bandit", 1)]
)
def test_a_rate_of_each_kind_of_family(family, horizon, tmp_path, capsys):
    path = tmp_path / "t.json"
    line = f"--family {family} --tasks 2 --episodes 3 --iterations 1 --json {path}"
    sampling.main(line.split())
    result = json.loads(path.read_text())
    assert (result["family"], result["horizon"], result["lanes"]) == (family, horizon, "2 tasks x 3 episodes")
    assert 0 < result["transitions_per_second"] <= result["steps_per_second"]
    printed = capsys.readouterr().out
    assert f"{result['steps_per_second']:,.0f} sub-environment steps/s" in printed
    assert f"{result['transitions_per_second']:,.0f} transitions/s" in printed


def test_a_variant_is_measured(capsys):
    sampling.main(["--family", "navigation2d:wide", "--tasks", "1", "--episodes", "1", "--iterations", "1"])
    assert "setup: navigation2d wide, 1 tasks x 1 episodes x 100 steps" in capsys.readouterr().out


def test_an_unknown_family_is_refused():
    with pytest.raises(FamilyError, match="unknown family 'point-robo'"):
        sampling.main(["--family", "point-robo"])

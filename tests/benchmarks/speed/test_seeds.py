"""Several seeds, trained in every way."""

import json
from pathlib import Path

import pytest

from benchmarks.speed import seeds


def test_every_way_trains_every_seed():
    for name, (commands, at_a_time, threads) in seeds.ways(3, ["metarl", "train"], Path("place")).items():
        numbers = [number for command in commands for number in ("1", "2", "3") if number in command]
        assert sorted(numbers) == ["1", "2", "3"], name
        assert at_a_time * threads in (1, 2)


def test_ways_are_compared_with_separate_processes(monkeypatch, capsys, tmp_path):
    durations = iter(range(1, 100))
    monkeypatch.setattr(seeds, "seconds", lambda name, number, train: float(next(durations)))
    seeds.main(["--rounds", "1", "--json", str(tmp_path / "s.json")])
    result = json.loads((tmp_path / "s.json").read_text())
    assert list(result) == ["machine", "navigation2d", "coupled-direction", "sinusoid"]
    assert list(result["navigation2d"].values()) == [[1.0], [2.0], [3.0], [4.0], [5.0]]
    printed = capsys.readouterr().out
    assert f"{'--seeds in one batch':<44}     4.0 s    0.50 x" in printed
    assert f"{seeds.BASELINE:<44}     7.0 s    1.00 x" in printed


@pytest.mark.slow
def test_seeds_are_trained_in_every_way(capsys):
    seeds.main(["--seeds", "2", "--iterations", "1", "--tasks", "2", "--rounds", "1"])
    out = capsys.readouterr().out
    assert "a process each, one after another" in out
    assert "--seeds, a batch in each of two processes" in out
    assert out.count("--seeds in one batch") == 3

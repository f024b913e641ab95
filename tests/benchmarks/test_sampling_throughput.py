"""The benchmark of sampling counts what it says: steps of lanes, transitions, and whether what is wanted was met."""

import json

import pytest
import torch

from benchmarks.speed import sampling as sampling_throughput
from benchmarks.speed import throughput
from metarl.families.registry import load_family


@pytest.mark.parametrize(
    ("family", "horizon"), [("point-robot", 20), ("cartpole", 200), ("tabular-mdp", 10), ("bernoulli-bandit", 1)]
)
def test_a_rate_of_each_kind_of_family(family, horizon, tmp_path, capsys):
    throughput.main(
        ["--family", family, "--tasks", "2", "--episodes", "3", "--iterations", "1", "--json", f"{tmp_path}/t.json"]
    )
    result = json.loads((tmp_path / "t.json").read_text())
    assert (result["family"], result["horizon"], result["lanes"]) == (family, horizon, "2 tasks x 3 episodes")
    assert 0 < result["transitions_per_second"] <= result["steps_per_second"]
    assert result["verdict"] == ("met" if result["steps_per_second"] >= result["wanted"] else "missed")
    assert f"{result['verdict']}: wanted at least {result['wanted']:,.0f}" in capsys.readouterr().out


def test_every_family_that_a_number_is_wanted_of_exists():
    assert all(load_family(name).name == name for name in sampling_throughput.WANTED)


def test_steps_after_an_episodes_end_are_no_transitions(monkeypatch):
    """One clock for all: two seconds a rollout, of which half the lanes' steps are kept."""
    ticks = iter(range(0, 1000, 2))
    monkeypatch.setattr(sampling_throughput.time, "perf_counter", lambda: float(next(ticks)))
    real = sampling_throughput.rollout

    def halved(*arguments, **options):
        found = real(*arguments, **options)
        return found._replace(mask=found.mask & (torch.arange(found.mask.shape[2]) < 10))

    monkeypatch.setattr(sampling_throughput, "rollout", halved)
    result = sampling_throughput.measure(load_family("point-robot"), 2, 3, 2)
    assert result["steps_per_second"] == 2 * 3 * 20 / 2
    assert result["transitions_per_second"] == 2 * 3 * 10 / 2

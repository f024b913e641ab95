"""The benchmark of threads has a rate for every combination, and restores torch's threads between rollouts."""

import re

import pytest
import torch

pytest.importorskip("mujoco", reason="needs MuJoCo; pip install 'metarl-toolkit[mujoco]'")

from benchmarks.speed import harness, threads
from metarl.core.errors import ConfigError


def test_a_rate_for_every_combination(monkeypatch, capsys):
    monkeypatch.setattr(threads, "usable_cores", lambda: 2)
    seen = []
    stack = harness.stack
    monkeypatch.setattr(harness, "stack", lambda *x: seen.append(torch.get_num_threads()) or stack(*x))
    before = torch.get_num_threads()
    threads.main(["--tasks", "2", "--episodes", "1", "--steps", "2", "--repetitions", "1"])
    assert set(seen) == {before}  # torch has its own threads again between rollouts
    lines = [re.fullmatch(r"(.+?) +[\d,]+ steps/s", line) for line in capsys.readouterr().out.splitlines()]
    counts = [(number, threads) for number in (0, 1, 2) for threads in (1, 2)]
    expected = {f"Pendulum-v1, {workers} workers, torch {threads}" for workers, threads in counts}
    expected |= {f"cheetah-vel, pool of {pool}, torch {threads}" for pool, threads in counts if pool}
    assert {line[1] for line in lines} == expected


def test_other_families_are_refused():
    with pytest.raises(ConfigError, match="--family = point-robot; expected a MuJoCo family"):
        threads.main(["--family", "point-robot"])

"""The benchmark of threads has a rate for every combination, and puts torch's threads where it says."""

import re

import pytest
import torch
from conftest import load_or_skip

pytest.importorskip("mujoco", reason="needs MuJoCo; pip install 'metarl-toolkit[mujoco]'")

from benchmarks import thread_choices


def test_a_rate_for_every_combination(monkeypatch, capsys):
    load_or_skip("cheetah-vel")
    monkeypatch.setattr(thread_choices, "usable_cores", lambda: 2)
    seen = []
    stack = thread_choices.stack
    monkeypatch.setattr(thread_choices, "stack", lambda *x: seen.append(torch.get_num_threads()) or stack(*x))
    before = torch.get_num_threads()
    thread_choices.main(["--tasks", "2", "--episodes", "1", "--steps", "2", "--repetitions", "1"])
    assert set(seen) == {before}  # torch has its own threads again between rollouts
    lines = [re.fullmatch(r"(.+?) +[\d,]+ steps/s", line) for line in capsys.readouterr().out.splitlines()]
    expected = {f"cheetah-vel, pool of {pool}, torch {threads}" for pool in (1, 2) for threads in (1, 2)}
    expected |= {f"Pendulum-v1, {workers} workers, torch {threads}" for workers in (0, 1, 2) for threads in (1, 2)}
    assert {line[1] for line in lines} == expected


def test_other_families_are_refused():
    with pytest.raises(SystemExit, match="--family = point-robot; expected a MuJoCo family"):
        thread_choices.main(["--family", "point-robot"])

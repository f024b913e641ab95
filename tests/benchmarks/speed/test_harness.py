"""Options, timed rounds, rollouts and JSON of the speed benchmarks."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from benchmarks.speed import harness
from benchmarks.speed.harness import BenchmarkOptions, TaskOptions, cpu_envs, in_turns, run_benchmark, timed_rollouts
from metarl.core.errors import ConfigError
from metarl.families.registry import load_family

STATM = Path("/proc/self/statm")


@dataclass(frozen=True)
class Options(BenchmarkOptions):
    """Measure nothing."""

    LEAST: ClassVar[Mapping[str, int]] = {"most_tasks": 2, "none": 0}
    most_tasks: int = 2
    rounds: int = 1
    none: int = 0
    device: str = "cpu"


def run(*arguments):
    run_benchmark(
        "nothing", Options, lambda options: {"rounds": options.rounds}, "{0[rounds]} rounds".format, arguments
    )


def test_the_report_is_printed_and_the_numbers_are_written(tmp_path, capsys):
    run("--rounds", "3", "--json", f"{tmp_path}/new/n.json")
    assert capsys.readouterr().out == "3 rounds\n"
    assert json.loads((tmp_path / "new" / "n.json").read_text()) == {"rounds": 3}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rounds", "0"], "--rounds = 0; expected a whole number of at least 1"),
        (["--most-tasks", "1"], "--most-tasks = 1; expected a whole number of at least 2"),
        (["--none", "-1"], "--none = -1; expected a whole number of at least 0"),
        (["--rounds", "x"], "--rounds = x; expected a whole number"),
        (["--device", "gpu"], "--device = gpu; expected a device of this machine"),
        (["--round", "1"], "unknown option --round"),
    ],
)
def test_options_out_of_range_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        run(*arguments)


def test_facts_of_the_machine():
    facts = harness.machine()
    assert (facts["cores"], facts["torch"]) == (os.cpu_count(), torch.__version__)
    assert facts["torch_threads"] == torch.get_num_threads()
    line = harness.machine_line(facts)
    assert line.startswith(f"machine: {os.cpu_count()} cores (load {facts['load_before']} before), Python 3.")
    assert line == harness.machine_line(facts, threads=False) + f" with {torch.get_num_threads()} threads"


@pytest.mark.skipif(not STATM.exists(), reason="needs /proc")
def test_peak_memory_is_in_bytes():
    resident = int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    assert 0.9 * resident < harness.peak_memory() < 100 * resident


def test_measurements_take_turns_and_the_warm_up_is_dropped():
    calls = []

    def measurement(name):
        return lambda: calls.append(name) or len(calls)

    found = in_turns({"a": measurement("a"), "b": measurement("b")}, rounds=2, warm_up=1)
    assert calls == ["a", "b"] * 3
    assert found == {"a": [3, 5], "b": [4, 6]}


@pytest.mark.parametrize("horizon", [None, 7])
def test_rates_of_rollouts(monkeypatch, horizon):
    """A clock of two seconds a rollout; half of the steps are behind the end of their episode."""
    ticks = iter(range(0, 1000, 2))
    monkeypatch.setattr(harness.time, "perf_counter", lambda: float(next(ticks)))
    real = harness.rollout

    def halved(*arguments, **options):
        found = real(*arguments, **options)
        return found._replace(mask=found.mask & (torch.arange(found.mask.shape[2]) < 5))

    monkeypatch.setattr(harness, "rollout", halved)
    family = load_family("point-robot")
    envs = cpu_envs(family, TaskOptions(tasks=2, episodes=3))
    closed = []
    monkeypatch.setattr(envs, "close", lambda: closed.append(True))
    rollouts = timed_rollouts(family, envs, hidden_sizes=(4,), horizon=horizon)
    for _ in range(2):
        assert next(rollouts) == (2 * 3 * (horizon or 20) / 2, 2 * 3 * 5 / 2)
    assert closed == []
    rollouts.close()
    assert closed == [True]

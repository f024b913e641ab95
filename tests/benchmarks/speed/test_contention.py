"""Trainings beside other processes."""

import subprocess
import sys

import pytest

from benchmarks.speed import contention
from metarl.core.launch import SHORT_SPIN, usable_cores


def test_the_choices_differ_in_spin_and_threads(monkeypatch):
    for name in ("OMP_NUM_THREADS", *SHORT_SPIN):
        monkeypatch.setenv(name, "9")
    found = contention.environments()
    names = ("OMP_NUM_THREADS", "GOMP_SPINCOUNT")
    assert {choice: [env.get(name) for name in names] for choice, env in found.items()} == {
        "metarl": [None, None],
        "default": [str(usable_cores()), "300000"],
        "one": ["1", None],
    }


def test_trainings_at_once_and_busy_processes_run_beside_each_other(tmp_path):
    """Each training waits until all have begun, and the busy process is gone afterwards."""
    code = f"""import sys, time, pathlib
folder, end = pathlib.Path({str(tmp_path)!r}), time.monotonic() + 30
(folder / pathlib.Path(sys.argv[2]).name).touch()
while len(list(folder.iterdir())) < 2:
    assert time.monotonic() < end
"""
    assert 0 < contention.seconds([sys.executable, "-c", code], {}, trainings=2, busy=1) < 30
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1"]


def test_a_training_that_fails_is_not_a_measurement():
    with pytest.raises(subprocess.CalledProcessError):
        contention.seconds([sys.executable, "-c", "raise SystemExit(3)"], {}, trainings=1, busy=0)


def test_the_median_of_the_rounds_is_reported(monkeypatch):
    times = iter([3.0, 1.0, 2.0, 9.0, 1.0, 1.0, 4.0, 1.0, 1.0])
    monkeypatch.setattr(contention, "seconds", lambda *_: next(times))
    options = contention.Options(workloads=("small",), situations=("alone",), rounds=3)
    result = contention.measure(options)
    assert result["seconds"] == {"small": {"alone": {"metarl": 4.0, "default": 1.0, "one": 1.0}}}
    assert contention.report(result).splitlines()[1].split() == [
        "small", "alone", "metarl", "4.0", "s", "default", "1.0", "s", "one", "1.0", "s",
    ]  # fmt: skip

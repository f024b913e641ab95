"""The quick size of every campaign of `python -m tests.faults`, in a process of its own.

Campaigns that start many processes take most of the time, so they are marked slow.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.__main__ import CAMPAIGNS, FaultOptions, main
from tests.faults.report import Tally

LEAST = {"kills": 20, "crashes": 90, "damage": 88, "signals": 40, "hostile": 200, "configurations": 300,
         "environments": 40, "divergence": 20, "determinism": 12, "storage": 30, "refusals": 120,
         "versions": 5, "endurance": 3}  # fmt: skip
SLOW = ("kills", "signals", "hostile", "configurations", "environments")
FAST = tuple(name for name in CAMPAIGNS if name not in SLOW)


def check_campaigns(tmp_path, names):
    path = tmp_path / "report.json"
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults", "--quick", "--json", str(path), "--only", *names],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False, env=os.environ,
    )  # fmt: skip
    assert path.exists(), done.stderr
    report = json.loads(path.read_text())
    for name in names:
        assert report[name]["broken"] == []
        # Where mounts are not permitted, what needs them is left out.
        assert report[name]["tried"] >= (
            10 if report[name]["counts"].get("mounts that were not permitted") else LEAST[name]
        ), name
    assert done.returncode == 0


def test_no_promise_is_broken(tmp_path):
    check_campaigns(tmp_path, FAST)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_no_promise_is_broken_by_many_processes(tmp_path, name):
    check_campaigns(tmp_path, [name])


def test_the_exit_code_tells(monkeypatch, capsys):
    tally = Tally("water flows down")
    tally.check(False, "it flowed up")
    monkeypatch.setattr("tests.faults.versions.campaign", lambda place, quick, rng: tally)
    assert main(FaultOptions(only=("versions",))) == 1
    assert "it flowed up" in capsys.readouterr().out


def test_a_tally_counts_what_was_broken():
    tally = Tally("water flows down")
    assert tally.check(True, "it flowed up")
    assert not tally.check(False, "it stood")
    assert (tally.tried, tally.broken) == (2, ["it stood"])

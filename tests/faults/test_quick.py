"""The quick size of every campaign of `python -m tests.faults`, in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.__main__ import CAMPAIGNS
from tests.faults.report import Tally

LEAST = {"kills": 20, "crashes": 90, "damage": 88, "signals": 40, "hostile": 200, "configurations": 300,
         "environments": 40, "divergence": 20, "determinism": 12, "storage": 30, "refusals": 120,
         "versions": 5, "endurance": 3}  # fmt: skip


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    path = tmp_path_factory.mktemp("faults") / "report.json"
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults", "--quick", "--json", str(path)],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False, env=os.environ,
    )  # fmt: skip
    assert path.exists(), done.stderr
    return {**json.loads(path.read_text()), "code": done.returncode}


@pytest.mark.parametrize("name", CAMPAIGNS)
def test_no_promise_is_broken(report, name):
    assert report[name]["broken"] == []
    # Where mounts are not permitted, what needs them is left out.
    assert report[name]["tried"] >= (
        10 if report[name]["counts"].get("mounts that were not permitted") else LEAST[name]
    )


def test_the_exit_code_tells(report):
    assert report["code"] == int(any(report[name]["broken"] for name in CAMPAIGNS))


def test_a_tally_counts_what_was_broken():
    tally = Tally("water flows down")
    assert tally.check(True, "it flowed up")
    assert not tally.check(False, "it stood")
    assert (tally.tried, tally.broken) == (2, ["it stood"])

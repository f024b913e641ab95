"""The quick size of every campaign of `python -m tests.faults`, in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from metarl.runs.directory import RunLock
from metarl.runs.listing import run_status
from metarl.training.start import train
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
        cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False, env=os.environ,
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


def test_how_runs_stand(tmp_path, tiny_config):
    run = tmp_path / "run"
    train("maml-trpo", tiny_config, run)
    found = run_status(run)
    assert (found.state, found.saved, found.iteration, found.total) == ("finished", 4, 4, 4)
    assert (found.algorithm, found.task_name) == ("maml-trpo", "navigation2d")
    assert found.measured == json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["return"][-1]
    (run / "checkpoints" / "00000004" / "manifest.json").write_text("{")
    assert (run_status(run).state, run_status(run).saved) == ("stopped", 2)
    lock = RunLock(run)
    assert run_status(run).state == "running"
    lock.release()
    (run / "config.toml").write_text("seed = [")
    assert run_status(run).state.startswith("damaged: ")


def test_checkpoints_are_kept_as_configured(tmp_path, tiny_config):
    from dataclasses import replace

    train("maml-trpo", replace(tiny_config, keep_checkpoints=1, checkpoint_every=1), tmp_path / "few")
    train("maml-trpo", replace(tiny_config, checkpoint_every=1), tmp_path / "all")
    kept = {path.name for path in (tmp_path / "few" / "checkpoints").iterdir()}
    scores = {}
    for folder in (tmp_path / "all" / "checkpoints").iterdir():
        scores[folder.name] = json.loads((folder / "manifest.json").read_text())["meta_validation"]["score"]
    assert len(scores) == 4
    assert kept == {"00000004", max(scores, key=scores.get)}

"""The MuJoCo throughput benchmark measures what it says, and prints its two ratios."""

import json
import re

import pytest
from conftest import load_or_skip

pytest.importorskip("mujoco", reason="needs MuJoCo; pip install 'metarl-toolkit[mujoco]'")

from benchmarks import mujoco_costs, mujoco_throughput, throughput


def test_both_ratios_in_one_run(tmp_path, monkeypatch, capsys):
    family = load_or_skip("cheetah-vel")
    family.horizon = 4
    monkeypatch.setattr(mujoco_throughput, "ASYNC_ENVS", 2)
    monkeypatch.setattr("metarl.families.registry.load_family", lambda name: family)
    throughput.main(
        [
            "--family",
            "cheetah-vel",
            "--tasks",
            "2",
            "--episodes",
            "3",
            "--iterations",
            "1",
            "--json",
            f"{tmp_path}/t.json",
        ]
    )
    result = json.loads((tmp_path / "t.json").read_text())
    rates = result["steps_per_second"]
    assert result["ratios"] == {
        "of mujoco.rollout alone": pytest.approx(rates["library"] / rates["mujoco.rollout alone"]),
        "times gymnasium's AsyncVectorEnv": pytest.approx(rates["library"] / rates["AsyncVectorEnv"]),
    }
    printed = capsys.readouterr().out
    assert "of mujoco.rollout alone, wanted at least 0.85" in printed
    assert "times gymnasium's AsyncVectorEnv, wanted at least 8" in printed


def test_costs_of_batched_stepping(capsys):
    mujoco_costs.main(["--families", "cheetah-dir", "--lanes", "1", "--repetitions", "1"])
    printed = capsys.readouterr().out
    assert re.fullmatch(
        r"cheetah-dir: warm start \d+\.\d us, no warm start \d+\.\d us, and sensors \d+\.\d us\n", printed
    )

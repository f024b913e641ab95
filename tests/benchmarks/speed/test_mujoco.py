"""The benchmarks on MuJoCo: two ratios of sampling rates, and costs of the physics."""

import json
import re

import pytest

pytest.importorskip("mujoco", reason="needs MuJoCo; pip install 'metarl-toolkit[mujoco]'")

from benchmarks.speed import mujoco, sampling
from metarl.core.errors import ConfigError
from metarl.families.registry import load_family


def test_both_ratios_in_one_run(tmp_path, monkeypatch, capsys):
    family = load_family("cheetah-vel")
    family.horizon = 4
    monkeypatch.setattr(mujoco, "ASYNC_ENVS", 2)
    monkeypatch.setattr(sampling, "load_family", lambda name: family)
    sampling.main(
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
    for name, ratio in result["ratios"].items():
        assert f"the library has {ratio:.2f} {name}\n" in printed + "\n"
    assert (result["lanes"], result["family"]) == ("2 tasks x 3 episodes", "cheetah-vel")


def test_costs_of_batched_stepping(capsys):
    mujoco.costs(["--families", "cheetah-dir", "--envs", "1", "--repetitions", "1"])
    printed = capsys.readouterr().out
    assert re.fullmatch(
        r"cheetah-dir: warm start \d+\.\d us, no warm start \d+\.\d us, and sensors \d+\.\d us\n", printed
    )


def test_costs_of_other_families_are_refused():
    with pytest.raises(ConfigError, match="--families = point-robot; expected MuJoCo families"):
        mujoco.costs(["--families", "point-robot"])

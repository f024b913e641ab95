"""Reptile whose inner loop is an algorithm of Stable-Baselines3, and joint training of one such model."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest

import metarl
from metarl.config.algorithms import AdamConfig
from metarl.config.sb3 import PretrainSb3Config, ReptileSb3Config
from metarl.evaluation.comparison import compare
from metarl.runs.directory import read_metrics
from metarl.training.start import train
from tests.helpers.cli import metarl as command_line
from tests.helpers.sb3 import FAST_PPO, same, theta_of, tiny

pytest.importorskip("stable_baselines3", reason="stable-baselines3 is not installed (extra sb3)")


@pytest.mark.parametrize(("name", "kind"), [("reptile-sb3", ReptileSb3Config), ("pretrain-sb3", PretrainSb3Config)])
def test_resuming_is_exact(tmp_path, name, kind):
    config = tiny(kind)
    train(name, config, tmp_path / "whole")
    train(name, replace(config, iterations=1), tmp_path / "part")
    text = (tmp_path / "part" / "config.toml").read_text().replace("iterations = 1", "iterations = 2")
    if name == "pretrain-sb3":  # Reptile's schedule depends on the total, which must be the same from the start
        (tmp_path / "part" / "config.toml").write_text(text)
        metarl.resume(tmp_path / "part")
    else:
        again = replace(config, adam=AdamConfig(schedule="constant"))
        train(name, again, tmp_path / "constant")
        train(name, replace(again, iterations=1), tmp_path / "begun")
        metarl.resume(tmp_path / "begun", iterations=2)
        assert same(theta_of(tmp_path / "constant"), theta_of(tmp_path / "begun"))
        return
    assert same(theta_of(tmp_path / "whole"), theta_of(tmp_path / "part"))


def test_compare_puts_scratch_and_joint_training_beside(tmp_path):
    """Learners of two kinds, each with a scratch row of its own, on the same tasks, with the steps that each used."""
    kinds = {"reptile-sb3": ReptileSb3Config, "pretrain-sb3": PretrainSb3Config}
    for name, kind in kinds.items():
        train(name, tiny(kind), tmp_path / name)
    line = "train reptile --family navigation2d --iterations 1 --meta-batch-size 2 --episodes 2 --validation-tasks 0"
    assert command_line(line + f" --run-dir {tmp_path}/reptile")[0] == 0
    result = compare(
        [tmp_path / name for name in (*kinds, "reptile")], tasks=2, episodes=2, steps=1, scratch=True,
        validation_budget={"tasks": 1, "episodes": 2},
    )  # fmt: skip
    rows = {entry["label"]: entry for entry in result["methods"]}
    assert list(rows) == ["reptile-sb3", "pretrain-sb3", "reptile", "SB3 PPO from scratch", "scratch"]
    steps = [rows[name]["training_environment_steps"] for name in ("reptile-sb3", "pretrain-sb3")]
    assert steps == [[256], [256]]
    assert rows["SB3 PPO from scratch"]["training_environment_steps"] == [0]
    assert rows["SB3 PPO from scratch"]["adaptation_environment_steps"] == [0, 64]
    assert rows["scratch"]["adaptation_environment_steps"] == [0, 200]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--sb3.settings '{{\"n_step\": 3}}'", "PPO has no argument 'n_step'; did you mean 'n_steps'?"),
        ("--sb3.settings '{{\"gamma\": 0.9}}'", "gamma follows from the run"),
        ("--sb3.settings [1", "--sb3.settings = [1; expected a JSON object"),
        ("--sb3.timesteps 2000", "--sb3.timesteps = 2000; expected a multiple of 2048"),
        ("--sb3.settings '{{\"n_steps\": 0}}'", "--sb3.settings: n_steps = 0; expected a whole number"),
        ("--sb3.timesteps 0", "--sb3.timesteps = 0; expected a whole number of at least 1"),
        ("--sb3.algorithm DQN", "DQN of Stable-Baselines3 cannot be built"),
        ("--sb3.algorithm PP", "--sb3.algorithm"),
        ("--inner.optimiser adam", "--inner.optimiser = adam; expected sgd"),
        ("--workers 2", "--workers = 2; expected 0"),
        ("--sb3.algorithm SAC --gae-lambda 0.5", "--gae-lambda = 0.5; expected 0.95"),
    ],
)
def test_what_cannot_be_used_is_one_line(tmp_path, options, message):
    code, out, err = command_line(f"train reptile-sb3 --family navigation2d --run-dir {{t}}/x {options}", t=tmp_path)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "x").exists()


def test_runs_of_other_learners_are_named_where_metarl_cannot_adapt_them(tmp_path):
    train("reptile-sb3", tiny(), tmp_path / "run")
    code, _, err = command_line("adapt {t}/run --task '{{\"goal\": [0.1, 0.2]}}' --out {t}/p.safetensors", t=tmp_path)
    assert code == 2
    assert "metarl export" in err
    assert len(err.splitlines()) == 1


def test_a_json_result_says_how_it_was_adapted(tmp_path):
    train("pretrain-sb3", tiny(PretrainSb3Config), tmp_path / "run")
    code, out, err = command_line(
        "evaluate {t}/run --tasks 2 --episodes 2 --steps 1 --json {t}/e.json --initialisation random", t=tmp_path
    )
    assert (code, err) == (0, "")
    assert "PPO of Stable-Baselines3" in out
    result = json.loads((tmp_path / "e.json").read_text())
    assert result["protocol"]["adapts_by"] == "PPO of Stable-Baselines3, 64 environment steps a step"
    assert result["protocol"]["inner_lr"] == 1e-3


def test_ordinary_environments_are_learned_as_well(tmp_path):
    """A family of Gymnasium environments, some of whose physics only their constructor takes."""
    (tmp_path / "swings.py").write_text(
        "import metarl\n"
        "from gymnasium.spaces import Box, Dict\n"
        "family = metarl.declare_family('Pendulum-v1', Dict({'g': Box(5.0, 15.0, ())}), horizon=20)\n"
    )
    sys.path.insert(0, str(tmp_path))
    try:
        for name, kind in (("reptile-sb3", ReptileSb3Config), ("pretrain-sb3", PretrainSb3Config)):
            train(name, tiny(kind, family="swings:family", sb3=replace(FAST_PPO, n_envs=2)), tmp_path / name)
            result = metarl.evaluate(tmp_path / name, tasks=2, episodes=2, steps=1)
            assert np.isfinite(result["per_task"]).all()
        assert read_metrics(tmp_path / "pretrain-sb3")[0]["return"][0] < 0
    finally:
        sys.path.remove(str(tmp_path))

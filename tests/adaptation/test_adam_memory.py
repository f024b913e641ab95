"""What an inner rule remembers from one iteration to the next: Adam's second moments as entries of theta."""

from dataclasses import replace

import pytest
import torch

import metarl
from metarl.adaptation.gradient import SECOND, TAKEN, AdamDescent
from metarl.config.algorithms import MamlConfig, MamlTrpoConfig, PrompConfig, ReptileConfig
from metarl.config.run import InnerConfig, PolicyConfig
from metarl.core.params import MEMORY
from metarl.runs.checkpoint import load_newest
from metarl.sb3 import export_model
from metarl.training.start import train

SMALL = {
    "variant": "finn17",
    "iterations": 1,
    "meta_batch_size": 3,
    "episodes": 3,
    "validation_tasks": 0,
    "policy": PolicyConfig(hidden_sizes=(6,)),
    "inner": InnerConfig(lr=0.01, optimiser="adam", first_order=True),
}
REPTILE = ReptileConfig(**SMALL | {"inner": InnerConfig(lr=0.01, optimiser="adam")})
CASES = {
    "maml": ("maml", MamlConfig(**SMALL)),
    "maml-trpo": ("maml-trpo", MamlTrpoConfig(**SMALL)),
    "promp": ("promp", PrompConfig(**SMALL)),
    "reptile": ("reptile", REPTILE),
    "reptile, plain": ("reptile", replace(REPTILE, outer="plain")),
}


def theta_of(run):
    return load_newest(run)[0]["theta"]


def test_no_outer_update_learns_the_second_moments(tmp_path):
    """One seed gives all algorithms the same support data, so the same second moments, wherever theta goes."""
    found = {}
    for name, (algorithm, config) in CASES.items():
        train(algorithm, config, tmp_path / name)
        found[name] = theta_of(tmp_path / name)
        assert float(found[name][TAKEN]) == 1
    first = found["reptile"]
    names = [name for name in first if name.startswith(SECOND)]
    assert sorted(SECOND + name for name in first if not name.startswith(MEMORY)) == sorted(names)
    assert any(float(first[name].max()) > 0 for name in names)
    for other in found.values():
        for name in names:
            torch.testing.assert_close(other[name], first[name], rtol=1e-5, atol=1e-9)
    assert not torch.equal(found["maml"]["head.weight"], first["head.weight"])


def test_what_adapts_is_what_is_remembered(tmp_path):
    algorithm, config = CASES["maml"]
    train(algorithm, replace(config, inner=replace(config.inner, adapt="head", steps=3)), tmp_path / "run")
    theta = theta_of(tmp_path / "run")
    assert {name for name in theta if name.startswith(SECOND)} == {SECOND + "head.weight", SECOND + "head.bias"}
    assert float(theta[TAKEN]) == 3


def test_a_policy_takes_them_to_new_tasks_and_other_runs(tmp_path):
    train("reptile", replace(REPTILE, iterations=3), tmp_path / "run")
    agent = metarl.load(tmp_path / "run")
    adapted = agent.adapt(metarl.load_family("navigation2d", "finn17").make({"goal": [0.3, 0.1]}), episodes=2, steps=2)
    adapted.save(tmp_path / "policy.safetensors")
    assert {n for n in metarl.load(tmp_path / "policy.safetensors").params if n.startswith(MEMORY)} == {
        n for n in agent.params if n.startswith(MEMORY)
    }
    without = replace(REPTILE, inner=InnerConfig(lr=0.01))
    head = replace(CASES["maml"][1], inner=replace(CASES["maml"][1].inner, adapt="head"))
    train("maml", head, tmp_path / "head")
    starts = {
        "same": (REPTILE, "run"),
        "without": (without, "run"),
        "back": (REPTILE, "without"),
        "part": (REPTILE, "head"),
    }
    for name, (config, source) in starts.items():
        train("reptile", replace(config, iterations=0, initialise_from=str(tmp_path / source)), tmp_path / name)
    same, none, fresh, part = (theta_of(tmp_path / name) for name in starts)
    assert all(torch.equal(value, agent.params[name]) for name, value in same.items())
    assert set(none) == {name for name in same if not name.startswith(MEMORY)}
    for theta in (fresh, part):
        assert all(not value.any() for name, value in theta.items() if name.startswith(MEMORY))


class Summing(AdamDescent):
    """Adam that also adds up the gradients of a task's steps."""

    def update(self, at, gradient):
        params, memory = super().update(at, gradient)
        total = {f"sum.{name}": at.memory.get(f"sum.{name}", 0) + slope for name, slope in gradient.items()}
        return params, memory | total


def test_a_rule_of_ones_own_remembers_more_within_a_task(tmp_path):
    config = replace(REPTILE, iterations=2, inner=InnerConfig(lr=0.01, optimiser=f"{__name__}:Summing", steps=2))
    train("reptile", config, tmp_path / "own")
    train("reptile", replace(config, inner=replace(config.inner, optimiser="adam")), tmp_path / "adam")
    own, adam = theta_of(tmp_path / "own"), theta_of(tmp_path / "adam")
    assert own.keys() == adam.keys()
    assert all(torch.equal(own[name], value) for name, value in adam.items())


def test_they_are_no_part_of_an_exported_policy(tmp_path):
    pytest.importorskip("stable_baselines3")
    train("reptile", REPTILE, tmp_path / "run")
    agent, model = metarl.load(tmp_path / "run"), export_model(tmp_path / "run")
    for row in ([0.1, -0.2], [0.4, 0.3]):
        expected, _ = model.predict(row, deterministic=True)
        assert agent.act(row) == pytest.approx(expected, abs=1e-6)

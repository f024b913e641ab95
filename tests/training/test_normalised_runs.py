"""Observation normalisation: statistics by hand, who sees them when, and that nothing learns them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import metarl
from metarl.config.algorithms import MamlConfig, MamlTrpoConfig, PretrainConfig, PrompConfig, ReptileConfig
from metarl.config.memory import MemoryPolicyConfig, PpoConfig, Rl2Config
from metarl.config.registry import ALGORITHMS
from metarl.config.run import InnerConfig, PolicyConfig
from metarl.core.errors import ConfigError, RunError
from metarl.rl.normalisation import COUNT, MEAN, VARIANCE
from metarl.rl.problem import ReinforcementLearning
from metarl.runs.checkpoint import load_checkpoint, load_newest
from metarl.runs.manifest import list_checkpoints
from metarl.training.start import resume, train
from tests.helpers.runs import assert_same_run

SMALL = {
    "variant": "finn17",
    "iterations": 3,
    "meta_batch_size": 3,
    "samples_per_step": 150,
    "validation_tasks": 0,
    "checkpoint_every": 1,
    "dtype": "float64",
    "policy": PolicyConfig(hidden_sizes=(6,), normalise_observations=True),
}
"""Episodes that end early, so that some entries are masked."""
MEMORY = MemoryPolicyConfig(memory_size=6, hidden_sizes=(6,), normalise_observations=True)
TRIALS = {name: value for name, value in SMALL.items() if name != "samples_per_step"} | {
    "episodes": 2,
    "policy": MEMORY,
}
CASES = {
    "maml-trpo": ("maml-trpo", MamlTrpoConfig(**SMALL, inner=InnerConfig(lr=0.3, steps=2))),
    "maml": ("maml", MamlConfig(**SMALL, inner=InnerConfig(lr=0.3, learned_lr="per-layer"))),
    "cavia": (
        "maml",
        MamlConfig(
            **SMALL | {"policy": replace(SMALL["policy"], context=2)}, inner=InnerConfig(lr=0.3, adapt="context")
        ),
    ),
    "promp": ("promp", PrompConfig(**SMALL)),
    "reptile": ("reptile", ReptileConfig(**SMALL)),
    "pretrain": ("pretrain", PretrainConfig(**SMALL)),
    "rl2": ("rl2", Rl2Config(**TRIALS, inner=InnerConfig(steps=1), ppo=PpoConfig(minibatches=2))),
    "pretrain-trpo": ("pretrain", PretrainConfig(**SMALL, outer="trpo")),
    "ordered": ("maml-trpo", MamlTrpoConfig(**SMALL, ordered_sums=True)),
}


@pytest.mark.parametrize("name", CASES)
def test_statistics_are_those_of_the_transitions_of_earlier_iterations(name, tmp_path, monkeypatch):
    algorithm, config = CASES[name]
    seen, acted_with = [], []
    episodes_of = ReinforcementLearning.episodes_of

    def spy(self, params, tasks, key, memory=None):
        episodes, memory = episodes_of(self, params, tasks, key, memory)
        acted_with.append((len(seen), {name: params[name].clone() for name in (COUNT, MEAN, VARIANCE)}))
        seen.append(episodes.observations[episodes.mask].numpy())
        return episodes, memory

    monkeypatch.setattr(ReinforcementLearning, "episodes_of", spy)
    train(algorithm, config, tmp_path / "run")
    calls = len(seen) // 3
    for number, folder in list_checkpoints(tmp_path / "run").items():
        rows = np.concatenate(seen[: number * calls])
        theta = load_checkpoint(folder)[0]["theta"]
        assert int(theta[COUNT]) == len(rows)
        np.testing.assert_allclose(theta[MEAN], rows.mean(0), rtol=1e-10)
        np.testing.assert_allclose(theta[VARIANCE], rows.var(0), rtol=1e-10)
        for place, statistics in acted_with:
            if place // calls == number:  # the iteration that begins here, whatever its step
                assert all((value == theta[name]).all() for name, value in statistics.items())


def test_a_resumed_run_is_the_same(tmp_path):
    algorithm, config = CASES["maml-trpo"]
    config = replace(config, dtype="float32", validation_tasks=2)
    train(algorithm, config, tmp_path / "whole")
    train(algorithm, replace(config, iterations=2), tmp_path / "parts")
    resume(tmp_path / "parts", iterations=3)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_starting_from_another_run(tmp_path):
    algorithm, config = CASES["maml"]
    config = replace(config, inner=InnerConfig(lr=0.3))
    plain = replace(config, policy=replace(config.policy, normalise_observations=False))
    train(algorithm, config, tmp_path / "normalised")
    source = str(tmp_path / "normalised")
    for name, kind in (("again", config), ("plain", plain)):
        train(algorithm, replace(kind, iterations=0, initialise_from=source), tmp_path / name)
    first, again, without = (metarl.load(tmp_path / name) for name in ("normalised", "again", "plain"))
    assert all(torch.equal(first.params[name], value) for name, value in again.params.items())
    assert MEAN not in without.params
    for row in np.random.default_rng(0).uniform(-1, 1, (5, 2)):
        np.testing.assert_allclose(first.act(row), without.act(row), atol=1e-6)
    with pytest.raises(RunError, match=f"has no {COUNT}, no {MEAN}, no {VARIANCE}; expected the parameters"):
        train(algorithm, replace(config, initialise_from=str(tmp_path / "plain")), tmp_path / "refused")
    assert not (tmp_path / "refused").exists()


def test_a_run_is_evaluated_with_its_statistics_as_they_are(tmp_path):
    algorithm, config = CASES["reptile"]
    train(algorithm, replace(config, dtype="float32"), tmp_path / "run")
    before = load_newest(tmp_path / "run")[0]["theta"]
    one, two = (metarl.evaluate(tmp_path / "run", tasks=2, episodes=3, steps=2) for _ in range(2))
    assert one == two
    assert torch.equal(load_newest(tmp_path / "run")[0]["theta"][MEAN], before[MEAN])
    agent = metarl.load(tmp_path / "run")
    family = metarl.load_family("navigation2d", "finn17")
    adapted = agent.adapt(family.make({"goal": np.array([0.3, 0.3], np.float32)}), episodes=2)
    assert all(torch.equal(adapted.params[name], agent.params[name]) for name in (COUNT, MEAN, VARIANCE))
    adapted.save(tmp_path / "adapted.safetensors")
    assert torch.equal(metarl.load(tmp_path / "adapted.safetensors").params[VARIANCE], before[VARIANCE])


def test_an_algorithm_that_reports_no_observations_is_refused(tmp_path, monkeypatch):
    from metarl.adaptation.collect import Adaptation

    metrics = Adaptation.metrics
    monkeypatch.setattr(Adaptation, "metrics", lambda data: {k: v for k, v in metrics(data).items() if k != "observed"})
    with pytest.raises(ConfigError, match="the algorithm does not report what it observed"):
        train(*CASES["maml"], tmp_path / "run")


def test_every_algorithm_that_can_normalise_is_tried():
    assert {algorithm for algorithm, _ in CASES.values()} == {name for name in ALGORITHMS if "sb3" not in name}

"""Whole runs with a torch module as the network: training, resuming, evaluating, adapting, exporting."""

import shutil

import numpy as np
import pytest
import torch

import metarl
from metarl.config.run import InnerConfig, PolicyConfig
from metarl.core.errors import ConfigError, MetarlError, RunError
from metarl.runs.checkpoint import load_newest
from metarl.runs.directory import CONFIG
from metarl.runs.manifest import list_checkpoints, read_manifest
from metarl.training.start import resume, train
from tests.helpers import networks
from tests.helpers.runs import assert_same_run
from tests.helpers.steps import tiny

OWN = PolicyConfig(network="tests.helpers.networks:two_layers")

VARIANTS = [
    pytest.param("maml", {}, marks=pytest.mark.slow),
    ("maml", {"inner": InnerConfig(lr=0.3, adapt="head", learned_lr="per-layer")}),
    pytest.param("maml-trpo", {}, marks=pytest.mark.slow),
    ("maml-trpo", {"policy": PolicyConfig(network=OWN.network, normalise_observations=True)}),
    pytest.param("promp", {}, marks=pytest.mark.slow),
    pytest.param("reptile", {"inner": InnerConfig(lr=0.01, steps=2, optimiser="adam")}, marks=pytest.mark.slow),
    pytest.param("pretrain", {"outer": "trpo"}, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("algorithm", "changes"), VARIANTS, ids=str)
def test_resuming_is_exact(tmp_path, algorithm, changes):
    config = tiny(algorithm, **({"policy": OWN} | changes))
    train(algorithm, config, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "parts")
    checkpoints = list_checkpoints(tmp_path / "parts")
    for iteration in sorted(checkpoints)[1:]:
        shutil.rmtree(checkpoints[iteration])
    resume(tmp_path / "parts")
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_the_same_layers_learn_as_the_perceptron_does(tmp_path):
    """A module with the perceptron's parameters takes the perceptron's meta-gradient, up to rounding."""
    from metarl.adaptation.setup import open_setup
    from metarl.config.registry import REINFORCEMENT_LEARNING
    from metarl.core.prng import Key

    moved = []
    for network, kind in (("mlp", REINFORCEMENT_LEARNING), (OWN.network, REINFORCEMENT_LEARNING)):
        config = tiny("maml", dtype="float64", policy=PolicyConfig(hidden_sizes=(6,), network=network))
        opened = open_setup(kind.setup, config)
        problem = opened.problem(training=True)
        theta = open_setup(kind.setup, tiny("maml", policy=OWN)).model.initialise(Key.from_seed(5))
        params = {name: value.expand(3, *value.shape).clone().requires_grad_() for name, value in theta.items()}
        tasks = opened.sample_tasks(3, "meta-train", np.random.default_rng(0))
        data = problem.collect(params, tasks, Key.from_seed(1)).data
        moved.append(torch.autograd.grad(problem.inner_loss(params, data).sum(), list(params.values())))
    for ours, theirs in zip(*moved, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = tmp_path_factory.mktemp("own") / "run"
    train("maml", tiny("maml", policy=OWN), run)
    return run


def test_the_run_records_where_the_network_was(run):
    checkpoint = list_checkpoints(run)[max(list_checkpoints(run))]
    assert read_manifest(checkpoint)["network_file"] == networks.__file__
    assert f'network = "{OWN.network}"' in (run / CONFIG).read_text()


def test_an_agent_acts_adapts_saves_and_learns_from_records(run, tmp_path):
    curve = metarl.evaluate(run, tasks=2, episodes=2)["return"]["mean"]
    assert np.isfinite(curve).all()
    agent = metarl.load(run)
    env = metarl.load_family("navigation2d").make({"goal": np.array([0.3, 0.2], np.float32)})
    adapted = agent.adapt(env, episodes=2, steps=1)
    adapted.save(tmp_path / "policy.safetensors")
    again = metarl.load(tmp_path / "policy.safetensors")
    observation, _ = env.reset(seed=1)
    assert (again.act(observation) == adapted.act(observation)).all()
    theta = load_newest(run)[0]["theta"]
    hidden = np.tanh(theta["hidden.0.weight"].numpy() @ observation + theta["hidden.0.bias"].numpy())
    mean = theta["head.weight"].numpy() @ hidden + theta["head.bias"].numpy()
    np.testing.assert_allclose(agent.act(observation), np.clip(mean, -1, 1), rtol=1e-5)
    for step in range(5):
        observation, reward, *_ = env.step(agent.act(observation, deterministic=False))
        agent.record(reward, truncated=step == 4)
    assert len(agent.update().returns) == 1


def test_it_is_exported(run, tmp_path):
    metarl.load(run).export(tmp_path / "policy.pt2")
    again = torch.export.load(tmp_path / "policy.pt2").module()
    rows = torch.randn(4, 2)
    ours = [metarl.load(run).act(row.numpy()) for row in rows]
    np.testing.assert_allclose(again(observation=rows)["action"].detach().numpy(), ours, rtol=1e-5, atol=1e-6)


def test_stable_baselines_has_no_such_network(run, tmp_path):
    pytest.importorskip("stable_baselines3")
    from metarl.sb3 import export_model

    with pytest.raises(MetarlError, match=r"policy.network is tests.*; expected mlp"):
        export_model(run, tmp_path / "model.zip")


def test_a_run_whose_network_has_gone_names_both_places(tmp_path, monkeypatch):
    import sys

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    (tmp_path / "passing_net.py").write_text(
        "from torch import nn\ndef small(space, outputs):\n    return nn.Linear(space.shape[0], outputs)\n"
    )
    metarl.train(
        "maml", run_dir="run", config=tiny("maml", iterations=1, policy=PolicyConfig(network="./passing_net.py:small"))
    )
    (tmp_path / "passing_net.py").unlink()
    del sys.modules["passing_net"]
    for attempt in (lambda: metarl.load("run"), lambda: metarl.evaluate("run", tasks=1), lambda: resume("run")):
        with pytest.raises(
            ConfigError, match=r"no module 'passing_net' .*in training it was .*passing_net.py; set PYTHON"
        ):
            attempt()


def test_a_run_that_names_a_file_is_refused(run, tmp_path):
    """A run directory may be somebody else's; what it names must not be executed from wherever it says."""
    copy = shutil.copytree(run, tmp_path / "run")
    text = (copy / CONFIG).read_text()
    (copy / CONFIG).write_text(text.replace(OWN.network, "/tmp/evil.py:net"))
    with pytest.raises(RunError, match=r"policy.network = '/tmp/evil.py:net'; expected module:factory, not a file"):
        metarl.load(copy)


@pytest.mark.parametrize(
    ("algorithm", "changes", "message"),
    [
        ("maml", {"inner": InnerConfig(adapt="context"), "policy": PolicyConfig(network=OWN.network, context=2)},
         "--policy.context = 2; expected 0: only mlp has context parameters"),
        ("maml", {"inner": InnerConfig(adapt="tail.*")}, "expected a pattern that fits a parameter .*head.weight"),
        ("rl2", {"policy": None}, "--policy.network = .*adaptation by memory has no use for it"),
    ],
)  # fmt: skip
def test_combinations_that_make_no_sense_are_refused(tmp_path, algorithm, changes, message):
    from metarl.config.memory import MemoryPolicyConfig

    if changes.get("policy", OWN) is None:
        changes = {"policy": MemoryPolicyConfig(network=OWN.network)}
    with pytest.raises(ConfigError, match=message):
        train(algorithm, tiny(algorithm, **({"policy": OWN} | changes)), tmp_path / "run")

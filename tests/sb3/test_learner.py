import tempfile

import numpy as np
import pytest

import metarl
from metarl.config.sb3 import Sb3Options
from metarl.core.prng import Key
from metarl.rl.setup import build_family
from metarl.sb3 import export_model
from metarl.sb3.learner import Learner, parameters_of
from metarl.sb3.reptile import learn
from metarl.sb3.setup import setup
from metarl.training.start import train
from tests.helpers.sb3 import FAST_PPO, drawn_by, same, theta_of, tiny

pytest.importorskip("stable_baselines3", reason="stable-baselines3 is not installed (extra sb3)")


def test_learning_leaves_nothing_in_the_temporary_directory(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    config = tiny()
    opened = setup(config)
    tasks = opened.sample_tasks(1, "meta-train", np.random.default_rng(0))
    learn(opened.problem(training=True), drawn_by(config, 1), tasks, Key(7), opened.adapter(), 1)
    assert not list(tmp_path.iterdir())


OFF_POLICY = '{"learning_starts": 8, "batch_size": 8, "buffer_size": 100'
ALGORITHMS = {
    "PPO": ("navigation2d", FAST_PPO.settings),
    "A2C": ("cartpole", '{"n_steps": 8}'),
    "SAC": ("navigation2d", OFF_POLICY + "}"),
    "TD3": ("navigation2d", OFF_POLICY + "}"),
    "DQN": ("cartpole", OFF_POLICY + ', "target_update_interval": 8}'),
}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_trains_evaluates_and_is_exported(tmp_path, algorithm):
    family, settings = ALGORITHMS[algorithm]
    timesteps = 64 if algorithm == "PPO" else 24
    on_policy = algorithm in ("PPO", "A2C")
    config = tiny(family=family, sb3=Sb3Options(algorithm, timesteps, 1, settings))
    train("reptile-sb3", config, tmp_path / "run")
    theta = theta_of(tmp_path / "run")
    drawn = drawn_by(config)
    assert theta.keys() == drawn.keys()
    assert not any("target" in name for name in theta)
    assert all((theta[name] != drawn[name]).any() for name in theta), "something does not move"
    assert ("log_ent_coef" in theta) == (algorithm == "SAC")
    result = metarl.evaluate(tmp_path / "run", tasks=2, episodes=2, steps=2)
    assert result["environment_steps"] == [0, timesteps, 2 * timesteps]
    assert result["transitions"] == [0, timesteps, 2 * timesteps]
    assert np.isfinite(result["per_task"]).all()
    assert result["protocol"]["actions_sampled"] == (algorithm not in ("TD3", "DQN"))
    model = export_model(tmp_path / "run", tmp_path / "m.zip")
    again = type(model).load(tmp_path / "m.zip")
    assert same(parameters_of(again), theta)
    if not on_policy:
        name = "q_net" if algorithm == "DQN" else "critic"
        follower, followed = getattr(again.policy, f"{name}_target"), getattr(again.policy, name)
        assert same(dict(follower.state_dict()), dict(followed.state_dict()))


def test_learners_see_the_family_as_configured():
    config = tiny(observe_task=True)
    learner = Learner(config, build_family(config))
    assert learner.initialise(Key(0))["mlp_extractor.policy_net.0.weight"].shape == (8, 4)

"""Reptile whose inner loop is an algorithm of Stable-Baselines3, and joint training of one such model."""

import json
import sys
import tempfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_cli import metarl as command_line

pytest.importorskip("stable_baselines3", reason="stable-baselines3 is not installed (extra sb3)")

from stable_baselines3 import PPO
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.utils import set_random_seed

import metarl
from metarl.adaptation.parameters import initial_theta
from metarl.config.algorithms import AdamConfig
from metarl.config.run import InnerConfig, PolicyConfig
from metarl.config.sb3 import PretrainSb3Config, ReptileSb3Config, Sb3Options
from metarl.core.errors import ConfigError, Divergence
from metarl.core.prng import Key
from metarl.evaluation.comparison import compare
from metarl.families.tasks import take_tasks, task_at
from metarl.rl.setup import build_family
from metarl.runs.checkpoint import load_selected
from metarl.runs.directory import read_metrics
from metarl.sb3 import export_model
from metarl.sb3.acting import seed_of
from metarl.sb3.learner import Learner, give_parameters, parameters_of
from metarl.sb3.reptile import learn
from metarl.sb3.setup import setup
from metarl.training.start import train

FAST_PPO = Sb3Options(timesteps=64, settings='{"n_steps": 32, "batch_size": 32, "n_epochs": 2}')


def tiny(config_type=ReptileSb3Config, family="navigation2d", **options):
    options = {"sb3": FAST_PPO, "inner": InnerConfig(lr=1e-3, steps=1)} | options
    variant = "finn17" if family == "navigation2d" else None
    return config_type(
        family=family, variant=variant, iterations=2, meta_batch_size=2, episodes=2, validation_tasks=0,
        checkpoint_every=1,
        policy=PolicyConfig(hidden_sizes=(8,)), **options,
    )  # fmt: skip


def drawn_by(config, seed=None):
    """The parameters that a run of the configuration begins with."""
    opened = setup(config)
    return initial_theta(
        opened.adapter(), opened.model, config.seed if seed is None else seed, torch.device("cpu"), torch.float32
    )


def theta_of(run):
    return load_selected(run)[0]["theta"]


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(value, b[name]) for name, value in a.items())


def test_the_inner_loop_is_stable_baselines3s_own_learn():
    """Bitwise the parameters of a plain program with the same seed, and the environment steps that it took."""
    config = tiny()
    opened = setup(config)
    problem, tasks = opened.problem(training=True), opened.sample_tasks(1, "meta-train", np.random.default_rng(0))
    theta = drawn_by(config, 1)
    learned = learn(problem, theta, tasks, Key(7), opened.adapter(), 2)
    seed = seed_of(Key(7))
    model = PPO(
        "MlpPolicy", Monitor(opened.family.make(task_at(tasks, 0))), learning_rate=1e-3, n_steps=32, batch_size=32,
        n_epochs=2, seed=seed, policy_kwargs={"net_arch": [8]}, device="cpu",
    )  # fmt: skip
    model.set_parameters({"policy": theta, "policy.optimizer": model.policy.optimizer.state_dict()})
    model.learn(64)
    model.learn(64, reset_num_timesteps=False)
    assert same({name: value[0] for name, value in learned.params.items()}, dict(model.policy.state_dict()))
    assert learned.used.tolist() == [model.num_timesteps] == [128]
    set_random_seed(0)


def test_learning_leaves_nothing_in_the_temporary_directory(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    config = tiny()
    opened = setup(config)
    tasks = opened.sample_tasks(1, "meta-train", np.random.default_rng(0))
    learn(opened.problem(training=True), drawn_by(config, 1), tasks, Key(7), opened.adapter(), 1)
    assert not list(tmp_path.iterdir())


def test_reptile_moves_theta_towards_the_mean_of_what_was_learned(tmp_path):
    config = replace(tiny(), outer="plain", step_size=0.5, iterations=1, adam=AdamConfig(decay="none"))
    train("reptile-sb3", config, tmp_path / "run")
    opened = setup(config)
    problem, theta = opened.problem(training=True), drawn_by(config)
    root = Key.from_seed(config.seed)
    tasks = opened.sample_tasks(2, "meta-train", root.at("tasks", 1).generator())
    key = root.at("iteration", 1)
    lessons = [
        learn(problem, theta, take_tasks(tasks, slice(i, i + 1)), key.at(i), opened.adapter(), 1) for i in range(2)
    ]
    for name, value in theta_of(tmp_path / "run").items():
        mean = (lessons[0].params[name][0] + lessons[1].params[name][0]) / 2
        torch.testing.assert_close(value, theta[name] + 0.5 * (mean - theta[name]), atol=1e-6, rtol=0)
    record = read_metrics(tmp_path / "run")[0]
    assert record["environment_steps"] == 128
    assert record["return"][-1] is None


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
        again = replace(config, adam=AdamConfig(decay="none"))
        train(name, again, tmp_path / "constant")
        train(name, replace(again, iterations=1), tmp_path / "begun")
        metarl.resume(tmp_path / "begun", iterations=2)
        assert same(theta_of(tmp_path / "constant"), theta_of(tmp_path / "begun"))
        return
    assert same(theta_of(tmp_path / "whole"), theta_of(tmp_path / "part"))


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


def test_what_moves_is_an_option(tmp_path):
    config = tiny(sb3=replace(FAST_PPO, moves="actor"))
    train("reptile-sb3", config, tmp_path / "run")
    drawn = drawn_by(config)
    moved = {name for name, value in theta_of(tmp_path / "run").items() if (value != drawn[name]).any()}
    assert moved == {name for name in drawn if "value_net" not in name}
    config = tiny(sb3=replace(FAST_PPO, moves="action_nets.*"))
    with pytest.raises(ConfigError, match=r"--sb3.moves = action_nets.\*; expected all, actor, critic or a pattern"):
        train("reptile-sb3", config, tmp_path / "none")


def test_an_evaluation_is_one_learning_curve_a_task(tmp_path):
    """More steps do not change what came before, nor do other tasks; another learning rate does."""
    train("reptile-sb3", tiny(), tmp_path / "run")
    short = metarl.evaluate(tmp_path / "run", tasks=2, episodes=2, steps=1)["per_task"]
    long = metarl.evaluate(tmp_path / "run", tasks=3, episodes=2, steps=2)["per_task"]
    assert [row[0] for row in long][:2] == [row[0] for row in short]
    fast = metarl.evaluate(tmp_path / "run", tasks=2, episodes=2, steps=1, inner_lr=0.1)["per_task"]
    assert [row[0] for row in fast] == [row[0] for row in short]
    assert all(a[1] != b[1] for a, b in zip(fast, short, strict=True))
    assert [row[:2] for row in long[:2]] == short
    for options, message in (
        ({"later_inner_lr": 0.5}, "--later-inner-lr = 0.5; expected none"),
        ({"samples_per_step": 100}, "--samples-per-step = 100; expected none"),
    ):
        with pytest.raises(ConfigError, match=message):
            metarl.evaluate(tmp_path / "run", tasks=2, episodes=2, steps=1, **options)


def test_divergence_gives_up_the_task_and_stops_a_training(tmp_path, monkeypatch):
    train("reptile-sb3", tiny(), tmp_path / "run")

    def poisoned(model, params):
        give_parameters(model, params)
        model.learn = lambda *_, **__: give_parameters(model, {n: v * float("nan") for n, v in params.items()})

    monkeypatch.setattr("metarl.sb3.learner.give_parameters", poisoned)
    rows = metarl.evaluate(tmp_path / "run", tasks=2, episodes=2, steps=2)["per_task"]
    assert all(row[0] is not None and row[1:] == [None, None] for row in rows)
    with pytest.raises(Divergence, match="iteration 1: PPO diverged"):
        train("reptile-sb3", tiny(), tmp_path / "other")


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


def test_another_starting_point(tmp_path):
    """A policy of metarl's, with the critic as drawn; and a model's every parameter."""
    from metarl.config.algorithms import MamlConfig

    policy = PolicyConfig(hidden_sizes=(8,))
    source = MamlConfig(family="navigation2d", iterations=1, meta_batch_size=2, episodes=2, validation_tasks=0,
                        policy=policy)  # fmt: skip
    train("maml", source, tmp_path / "maml")
    config = replace(tiny(), iterations=0, initialise_from=str(tmp_path / "maml"))
    train("reptile-sb3", config, tmp_path / "a")
    theta, drawn = theta_of(tmp_path / "a"), drawn_by(config)
    assert torch.equal(theta["action_net.weight"], metarl.load(tmp_path / "maml").params["head.weight"])
    assert all(torch.equal(theta[name], drawn[name]) for name in theta if "value_net" in name)
    train("reptile-sb3", tiny(), tmp_path / "b")
    export_model(tmp_path / "b", tmp_path / "b.zip")
    for number, place in enumerate((tmp_path / "b", tmp_path / "b.zip")):
        train("reptile-sb3", replace(config, initialise_from=str(place)), tmp_path / str(number))
        assert same(theta_of(tmp_path / str(number)), theta_of(tmp_path / "b"))


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


@pytest.mark.slow
def test_reptile_beats_scratch(tmp_path):
    """On held-out goals after the same 2,000 environment steps, by the same PPO."""
    options = Sb3Options(timesteps=1000, n_envs=20, settings='{"n_steps": 50, "batch_size": 250}')
    config = ReptileSb3Config(
        family="navigation2d", iterations=10, meta_batch_size=3, validation_tasks=0, outer="plain", sb3=options,
        inner=InnerConfig(lr=3e-3, steps=2),
    )  # fmt: skip
    train("reptile-sb3", config, tmp_path / "run")
    trained, scratch = (
        metarl.evaluate(tmp_path / "run", tasks=6, episodes=10, steps=2, initialisation=which)["return"]["mean"]
        for which in ("trained", "random")
    )
    assert trained[2] > scratch[2]
    assert scratch[2] > scratch[0]


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


def test_learners_see_the_family_as_configured():
    config = tiny(observe_task=True)
    learner = Learner(config, build_family(config))
    assert learner.initialise(Key(0))["mlp_extractor.policy_net.0.weight"].shape == (8, 4)

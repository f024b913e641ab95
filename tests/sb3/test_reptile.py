from dataclasses import replace

import pytest
import torch

import metarl
from metarl.config.algorithms import AdamConfig
from metarl.config.run import InnerConfig, PolicyConfig
from metarl.config.sb3 import ReptileSb3Config, Sb3Options
from metarl.core.errors import ConfigError
from metarl.core.prng import Key
from metarl.families.tasks import take_tasks
from metarl.runs.directory import read_metrics
from metarl.sb3 import export_model
from metarl.sb3.reptile import learn
from metarl.sb3.setup import setup
from metarl.training.start import train
from tests.helpers.sb3 import FAST_PPO, drawn_by, same, theta_of, tiny

pytest.importorskip("stable_baselines3", reason="stable-baselines3 is not installed (extra sb3)")


def test_reptile_moves_theta_towards_the_mean_of_what_was_learned(tmp_path):
    config = replace(tiny(), outer="plain", step_size=0.5, iterations=1, adam=AdamConfig(schedule="constant"))
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


def test_what_moves_is_an_option(tmp_path):
    config = tiny(sb3=replace(FAST_PPO, moves="actor"))
    train("reptile-sb3", config, tmp_path / "run")
    drawn = drawn_by(config)
    moved = {name for name, value in theta_of(tmp_path / "run").items() if (value != drawn[name]).any()}
    assert moved == {name for name in drawn if "value_net" not in name}
    config = tiny(sb3=replace(FAST_PPO, moves="action_nets.*"))
    with pytest.raises(ConfigError, match=r"--sb3.moves = action_nets.\*; expected all, actor, critic or a pattern"):
        train("reptile-sb3", config, tmp_path / "none")


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

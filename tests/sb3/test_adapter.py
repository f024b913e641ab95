import numpy as np
import pytest
import torch

import metarl
from metarl.adaptation.collect import adapt
from metarl.core.errors import ConfigError, Divergence
from metarl.core.prng import Key
from metarl.families.tasks import task_at
from metarl.families.vec_env import make_vec_env
from metarl.rl.data import mean_returns
from metarl.sb3.acting import episodes_of, seed_of
from metarl.sb3.learner import give_parameters
from metarl.sb3.reptile import learn
from metarl.sb3.setup import setup
from metarl.training.start import train
from tests.helpers.sb3 import drawn_by, same, tiny

pytest.importorskip("stable_baselines3", reason="stable-baselines3 is not installed (extra sb3)")

from stable_baselines3 import PPO
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.utils import set_random_seed


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


def test_the_loop_of_adaptation_is_learning_and_measuring_in_turn():
    """As a program by hand: measure, learn, measure; what is measured changes nothing of what is learned."""
    config = tiny()
    opened = setup(config)
    problem, tasks = opened.problem(training=False), opened.sample_tasks(1, "meta-test", np.random.default_rng(3))
    theta, adapter, key = drawn_by(config), opened.adapter(), Key(9)
    pairs = list(adapt(problem, theta, tasks, key, adapter, 2))
    assert [state.step for state, _ in pairs] == [0, 1, 2]
    assert [state.used.tolist() for state, _ in pairs] == [[0], [64], [128]]
    assert all(collected.transitions.tolist() == [0] for _, collected in pairs)
    for steps, (state, _) in enumerate(pairs):
        assert same(state.params, learn(problem, theta, tasks, key, adapter, steps).params)
    envs = make_vec_env(opened.family, tasks, config.episodes, device="cpu", dtype=torch.float32)
    model = opened.model.starting(theta, tasks, key, adapter.lr)
    for steps, (_, collected) in enumerate(pairs):
        give_parameters(model, {name: value[0] for name, value in pairs[steps][0].params.items()})
        episodes = episodes_of(
            model, envs, key.at("measure", steps), horizon=opened.family.horizon, episodes=config.episodes
        )
        assert collected.performance.tolist() == mean_returns(episodes).tolist()
    envs.close()
    problem.close()
    opened.close()


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
        ({"later_inner_lr": 0.5}, "^later_inner_lr = 0.5; expected none"),
        ({"samples_per_step": 100}, "^samples_per_step = 100; expected None"),
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

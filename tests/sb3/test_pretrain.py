import numpy as np
import pytest
import torch

pytest.importorskip("stable_baselines3", reason="stable-baselines3 is not installed (extra sb3)")

from metarl.config.sb3 import PretrainSb3Config
from metarl.core.prng import Key
from metarl.sb3 import pretrain
from metarl.sb3.reptile import learn
from metarl.sb3.setup import setup
from tests.helpers.sb3 import drawn_by, tiny


def test_one_model_learns_from_all_tasks_in_turn_for_as_long_as_reptile_would():
    """Two tasks of one step of 64: one call of `learn` for 128 environment steps on both."""
    config = tiny(PretrainSb3Config)
    opened = setup(config)
    problem, theta = opened.problem(training=True), drawn_by(config)
    tasks = opened.sample_tasks(2, "meta-train", np.random.default_rng(0))
    state, metrics = pretrain.meta_step(
        pretrain.initial_state(theta, config), problem, tasks, Key(5), opened.adapter(), config, 0.0
    )
    assert metrics["transitions"] == 128
    assert metrics["return"][1] is None
    long = type(opened.adapter())(opened.model, config.inner.lr, 128)
    expected = learn(problem, theta, tasks, Key(5), long, 1)
    assert all(torch.equal(state["theta"][name], value[0]) for name, value in expected.params.items())
    moved = sum(float((state["theta"][name] - value).square().sum()) for name, value in theta.items()) ** 0.5
    assert metrics["difference_norm"] == pytest.approx(moved, rel=1e-5)
    opened.close()

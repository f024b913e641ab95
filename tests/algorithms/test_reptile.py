import torch

from metarl.algorithms import reptile
from metarl.algorithms.adam import AdamState, adam_step
from metarl.config.algorithms import AdamConfig, ReptileConfig
from metarl.config.run import InnerConfig
from tests.helpers.quadratics import Quadratics, step_of


def test_reptile_with_one_step_is_joint_training():
    problem = Quadratics()
    config = ReptileConfig(inner=InnerConfig(lr=0.1, steps=1), outer="plain", step_size=0.5)
    state, metrics = step_of(reptile, problem, config, progress=0.25)
    joint = problem.gradient(problem.theta["x"].expand(4, 3)).mean(0)
    torch.testing.assert_close(state["theta"]["x"], problem.theta["x"] - 0.75 * 0.5 * 0.1 * joint)
    assert metrics["return"][1] is None
    assert metrics["transitions"] == 10


def test_reptile_moves_towards_the_adapted_parameters():
    problem = Quadratics()
    x = problem.theta["x"].expand(4, 3)
    for _ in range(3):
        x = x - 0.1 * problem.gradient(x)
    difference = problem.theta["x"] - x.mean(0)
    plain, _ = step_of(
        reptile, problem, ReptileConfig(inner=InnerConfig(lr=0.1, steps=3), outer="plain", step_size=1.0)
    )
    torch.testing.assert_close(plain["theta"]["x"], x.mean(0))
    config = ReptileConfig(inner=InnerConfig(lr=0.1, steps=3), adam=AdamConfig(lr=0.01))
    with_adam, _ = step_of(reptile, problem, config)
    expected, _ = adam_step(problem.theta, {"x": difference}, AdamState.zero(problem.theta), config.adam, 1.0)
    torch.testing.assert_close(with_adam["theta"]["x"], expected["x"])

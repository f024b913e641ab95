import torch

from metarl.algorithms import maml_trpo, pretrain
from metarl.algorithms.adam import AdamState, adam_step
from metarl.config.algorithms import AdamConfig, MamlTrpoConfig, PretrainConfig
from metarl.config.run import InnerConfig
from tests.helpers.quadratics import Quadratics, step_of
from tests.helpers.steps import rl_step


def test_pretraining_is_joint_training():
    problem = Quadratics()
    config = PretrainConfig(adam=AdamConfig(lr=0.01))
    state, metrics = step_of(pretrain, problem, config)
    joint = {"x": problem.gradient(problem.theta["x"].expand(4, 3)).mean(0)}
    expected, _ = adam_step(problem.theta, joint, AdamState.zero(problem.theta), config.adam, 1.0)
    torch.testing.assert_close(state["theta"]["x"], expected["x"])
    assert len(metrics["return"]) == 1


def test_pretraining_with_trpo_is_maml_trpo_without_steps(family, policy, theta):
    inner = InnerConfig(lr=0.3, steps=0)
    one, _ = rl_step(pretrain, family, policy, theta, PretrainConfig(dtype="float64", outer="trpo", inner=inner))
    other, _ = rl_step(maml_trpo, family, policy, theta, MamlTrpoConfig(dtype="float64", inner=inner))
    assert all(torch.equal(one["theta"][name], other["theta"][name]) for name in theta)

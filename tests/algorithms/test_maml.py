import pytest
import torch

from metarl.algorithms import maml
from metarl.algorithms.adam import AdamState, adam_step
from metarl.config.algorithms import AdamConfig, MamlConfig
from metarl.config.run import InnerConfig
from tests.helpers.quadratics import Quadratics, step_of


@pytest.mark.parametrize("first_order", [False, True])
def test_maml_steps_along_the_meta_gradient(first_order):
    """mean over tasks of (I - lr A)(A x' - b) with x' = x - lr (A x - b); first-order drops I - lr A."""
    problem = Quadratics()
    config = MamlConfig(inner=InnerConfig(lr=0.1, first_order=first_order), adam=AdamConfig(lr=0.01))
    x = problem.theta["x"].expand(4, 3)
    outer = problem.gradient(x - 0.1 * problem.gradient(x))
    hessian_term = 0 if first_order else torch.einsum("tij,tj->ti", -0.1 * problem.a, outer)
    expected, _ = adam_step(
        problem.theta, {"x": (outer + hessian_term).mean(0)}, AdamState.zero(problem.theta), config.adam, 0.5
    )
    state, metrics = step_of(maml, problem, config, progress=0.5)
    torch.testing.assert_close(state["theta"]["x"], expected["x"])
    assert metrics["transitions"] == 20
    assert len(metrics["return"]) == 2

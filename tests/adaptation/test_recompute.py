"""Inner steps that are computed again in the backward pass: the same derivatives, and no graph of a step."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from metarl.adaptation.adapter import replay
from metarl.adaptation.gradient import AdamDescent, GradientDescent, gradient_adapter
from metarl.adaptation.recompute import recomputed
from metarl.algorithms import maml, maml_trpo, promp
from metarl.algorithms.meta_gradient import value_and_grad
from metarl.algorithms.trust_region import GaussNewton, ravel, unravel
from metarl.config.algorithms import MamlConfig, MamlTrpoConfig, PrompConfig
from metarl.config.run import InnerConfig, PolicyConfig
from metarl.core.collectives import mean_over_tasks
from metarl.core.seed_axis import stacked, state_of, use_seed_axis
from tests.helpers.collected import collected, distribution_of
from tests.helpers.numerics import central_differences
from tests.helpers.steps import rl_step

CASES = {
    "sgd": {"inner": InnerConfig(lr=0.3, later_lr=0.1, steps=4)},
    "adam": {"inner": InnerConfig(lr=0.01, steps=3, optimiser="adam")},
    "a rate per layer": {"inner": InnerConfig(lr=0.3, steps=3, learned_lr="per-layer")},
    "meta-sgd": {"inner": InnerConfig(lr=0.3, steps=3, learned_lr="per-parameter")},
    "anil": {"inner": InnerConfig(lr=0.3, steps=3, adapt="head")},
    "cavia": {"inner": InnerConfig(lr=0.3, steps=3, adapt="context"), "policy": PolicyConfig((6,), context=2)},
    "first-order": {"inner": InnerConfig(lr=0.3, steps=3, first_order=True)},
    "dice": {"inner": InnerConfig(lr=0.3, steps=3, estimator="dice")},
    "categorical": {"family": "tabular-mdp", "variant": None, "inner": InnerConfig(lr=0.3, steps=3)},
    "normalised": {"inner": InnerConfig(lr=0.3, steps=3), "policy": PolicyConfig((6,), normalise_observations=True)},
}


def outer_loss_of(problem, adapter, supports, query, tasks=3):
    def loss(theta):
        return mean_over_tasks(problem.outer_loss(replay(problem.inner_loss, theta, supports, adapter, tasks), query))

    return loss


def graph_of(tensors):
    """All nodes of the graph of some tensors."""
    waiting, found = [tensor.grad_fn for tensor in tensors], set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in found:
            found.add(node)
            waiting += [following for following, _ in node.next_functions]
    return found


def test_derivatives_of_three_orders_are_those_of_the_function():
    generator = torch.Generator().manual_seed(0)
    weight, x = (torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((3, 3), (3,)))

    def step(params, constants):
        slope = torch.func.grad(lambda at: (torch.tanh(at @ constants["w"]) ** 2).sum() * at.sum())(params["x"])
        return {"x": params["x"] - 0.1 * slope}, {"seen": slope.square()}

    def derivatives(when):
        leaf, found = x.clone().requires_grad_(), []
        params, memory = {"x": leaf}, {}
        for _ in range(3):
            params, memory = recomputed(step, params, {"w": weight}, when=when)
        value = (params["x"] ** 3).sum() + memory["seen"].sum()
        for _ in range(3):
            (slope,) = torch.autograd.grad(value, leaf, create_graph=True)
            found.append(slope)
            value = slope.square().sum()
        return found

    for plain, again in zip(derivatives(False), derivatives(True), strict=True):
        torch.testing.assert_close(again, plain, rtol=1e-12, atol=1e-12)
    assert not recomputed(step, {"x": x}, {"w": weight})[0]["x"].requires_grad


@pytest.mark.parametrize("name", CASES)
def test_the_meta_gradient_is_that_of_kept_graphs(name):
    problem, theta, adapter, supports, query = collected(CASES[name])
    again = replace(adapter, checkpointing=True)
    assert isinstance(again, AdamDescent if name == "adam" else GradientDescent)
    value, gradient = value_and_grad(outer_loss_of(problem, adapter, supports, query), theta)
    found_value, found = value_and_grad(outer_loss_of(problem, again, supports, query), theta)
    assert torch.equal(found_value, value)
    assert float(ravel(gradient).abs().max()) > 1e-3
    for key, slope in gradient.items():
        torch.testing.assert_close(found[key], slope, rtol=1e-12, atol=1e-14)


def test_the_meta_gradient_against_finite_differences():
    problem, theta, _, supports, query = collected(CASES["meta-sgd"])
    loss = outer_loss_of(
        problem, gradient_adapter(replace(CASES["meta-sgd"]["inner"], checkpointing=True)), supports, query
    )
    found = ravel(value_and_grad(loss, theta)[1])
    expected = central_differences(lambda vector: loss(unravel(vector, theta)).detach(), ravel(theta))
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-6


def test_the_gradient_of_several_seeds_is_that_of_each():
    problem, theta, adapter, supports, query = collected(CASES["sgd"])
    again = replace(adapter, checkpointing=True)
    other = {name: 1.1 * value for name, value in theta.items()}
    twice = [problem.of_tasks(data, torch.tensor([0, 1, 2, 0, 1, 2])) for data in [*supports, query]]
    both = stacked([{"theta": theta}, {"theta": other}])["theta"]
    with use_seed_axis(2):
        _, together = value_and_grad(outer_loss_of(problem, again, twice[:-1], twice[-1], 6), both)
    for seed, alone in enumerate((theta, other)):
        _, expected = value_and_grad(outer_loss_of(problem, adapter, supports, query), alone)
        for name, slope in state_of({"theta": together}, seed)["theta"].items():
            torch.testing.assert_close(slope, expected[name], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["sgd", "meta-sgd", "cavia", "categorical"])
def test_products_with_the_curvature_are_those_of_kept_graphs(name):
    problem, theta, adapter, supports, query = collected(CASES[name])
    vector = torch.randn(ravel(theta).shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    kept, again = (
        GaussNewton(distribution_of(problem, rule, supports, query, 3), theta, query.weights, damping=0.0)(vector)
        for rule in (adapter, replace(adapter, checkpointing=True))
    )
    torch.testing.assert_close(again, kept, rtol=1e-11, atol=1e-14)


STEPS = {
    "maml": (maml, MamlConfig, {}),
    "e-maml": (maml, MamlConfig, {"estimator": "e-maml"}),
    "promp": (promp, PrompConfig, {}),
    "first-order promp": (promp, PrompConfig, {"first_order": True}),
    "maml-trpo": (maml_trpo, MamlTrpoConfig, {}),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", STEPS)
def test_a_meta_step_is_that_of_kept_graphs(family, policy, theta, name, dtype):
    algorithm, config_type, options = STEPS[name]
    config = config_type(dtype=str(dtype).removeprefix("torch."), inner=InnerConfig(lr=0.3, steps=3, **options))
    theta = {key: value.to(dtype) for key, value in theta.items()}
    kept, again = (
        rl_step(
            algorithm, family, policy, theta, config,
            gradient_adapter(replace(config.inner, checkpointing=checkpointing)),
        )
        for checkpointing in (False, True)
    )  # fmt: skip
    tolerance = 1e-6 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(again[1]["gradient_norm"], kept[1]["gradient_norm"], rtol=tolerance, atol=0)
    for key, value in kept[0]["theta"].items():
        torch.testing.assert_close(again[0]["theta"][key], value, rtol=10 * tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ["sgd", "adam", "meta-sgd"])
def test_graphs_of_the_parameters_and_of_their_pull_back_keep_nothing_of_a_step(name):
    """One node for each step, and in the pull-back the sums of gradients; kept graphs have many nodes a step."""
    problem, theta, adapter, supports, _ = collected(CASES[name])

    def nodes(rule, steps):
        leaves = {key: value.clone().requires_grad_() for key, value in theta.items()}
        adapted = replay(problem.inner_loss, leaves, supports[:1] * steps, rule, 3)
        params = [value for value in adapted.values() if value.requires_grad]
        probe = [torch.zeros_like(value, requires_grad=True) for value in params]
        pulled = torch.autograd.grad(params, list(leaves.values()), probe, create_graph=True, materialize_grads=True)
        return len(graph_of(params)), len(graph_of(pulled))

    counts = [nodes(replace(adapter, checkpointing=True), steps) for steps in (2, 3, 4)]
    for before, after in pairwise(counts):
        assert after[0] - before[0] == 1
        assert after[1] - before[1] <= 3 * len(theta)
    before, after = nodes(adapter, 2), nodes(adapter, 3)
    assert after[0] - before[0] > 50
    assert after[1] - before[1] > 100

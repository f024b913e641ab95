import pytest
import torch

from metarl.adaptation.adapter import adapt_step, initial_state, replay
from metarl.adaptation.gradient import GradientDescent
from metarl.algorithms.meta_gradient import value_and_grad
from metarl.algorithms.trust_region import ravel, unravel
from metarl.core.collectives import mean_over_tasks
from metarl.core.prng import Key
from metarl.rl.data import PolicyBatch
from metarl.rl.losses import SURROGATES
from metarl.rl.policies import make_policy
from tests.helpers.numerics import central_differences
from tests.helpers.quadratics import quadratic, random_batch


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_meta_gradient_on_a_quadratic_in_closed_form(quadratics, steps):
    """Adapted x_K = S^K x + ..., with S = I - lr A, so the meta-gradient is S^K (A x_K - b); first-order drops S^K."""
    a, b, theta = quadratics
    for first_order in (False, True):
        adapter = GradientDescent(0.1, first_order=first_order)
        x = theta["x"].clone().requires_grad_()
        params = replay(quadratic, {"x": x}, [(a, b)] * steps, adapter, 4)
        (found,) = torch.autograd.grad(mean_over_tasks(quadratic(params, (a, b))), x)
        s = torch.eye(3, dtype=torch.float64) - 0.1 * a
        adapted = theta["x"].expand(4, 3)
        for _ in range(steps):
            adapted = adapted - 0.1 * (torch.einsum("tij,tj->ti", a, adapted) - b)
        torch.testing.assert_close(params["x"], adapted)
        outer = torch.einsum("tij,tj->ti", a, adapted) - b
        power = torch.linalg.matrix_power(s, 0 if first_order else steps)
        torch.testing.assert_close(found, torch.einsum("tij,tj->ti", power, outer).mean(0))


@pytest.mark.parametrize("estimator", sorted(SURROGATES))
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_meta_gradient_of_a_policy_against_finite_differences(policy, theta, steps, estimator):
    supports = [random_batch(policy, theta, 2, seed) for seed in range(steps)]
    query = random_batch(policy, theta, 2, 99)
    adapter = GradientDescent(0.3, 0.1)

    def inner(params, batch):
        return SURROGATES[estimator](policy.act(params, batch.observations)[0], batch)

    def outer(vector):
        params = replay(inner, unravel(vector, theta), supports, adapter, 2)
        return mean_over_tasks(SURROGATES["low-variance"](policy.act(params, query.observations)[0], query))

    vector = ravel(theta).requires_grad_()
    (found,) = torch.autograd.grad(outer(vector), vector)
    expected = central_differences(outer, vector.detach())
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-6


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_first_order_gradient_against_finite_differences(policy, theta, steps):
    """The first-order meta-gradient is the outer gradient at the adapted parameters, summed over their copies."""
    supports = [random_batch(policy, theta, 2, seed) for seed in range(steps)]
    query = random_batch(policy, theta, 2, 99)
    adapter = GradientDescent(0.3, first_order=True)

    def inner(params, batch):
        return SURROGATES["low-variance"](policy.act(params, batch.observations)[0], batch)

    leaf = ravel(theta).requires_grad_()
    (found,) = torch.autograd.grad(
        mean_over_tasks(inner(replay(inner, unravel(leaf, theta), supports, adapter, 2), query)), leaf
    )
    adapted = replay(inner, theta, supports, adapter, 2)

    def shifted(offset):
        moved = {k: v + unravel(offset, theta)[k] for k, v in adapted.items()}
        return mean_over_tasks(inner(moved, query))

    expected = central_differences(shifted, torch.zeros_like(ravel(theta)))
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-6


def test_twenty_tasks_together_adapt_as_each_alone(policy, theta):
    batch = random_batch(policy, theta, 20, 4)
    adapter = GradientDescent(0.5)

    def inner(params, data):
        return SURROGATES["low-variance"](policy.act(params, data.observations)[0], data)

    together = adapt_step(inner, initial_state(theta, 20), batch, adapter).params
    for task in range(20):
        alone = adapt_step(
            inner, initial_state(theta, 1), PolicyBatch(*(x[task : task + 1] for x in batch)), adapter
        ).params
        for name, value in alone.items():
            torch.testing.assert_close(together[name][task], value[0], rtol=1e-10, atol=1e-12)


def test_replay_stands_forward_mode(policy, theta):
    supports = [random_batch(policy, theta, 2, seed) for seed in range(2)]

    def inner(params, data):
        return SURROGATES["low-variance"](policy.act(params, data.observations)[0], data)

    tangent = {k: torch.ones_like(v) for k, v in theta.items()}
    for first_order in (False, True):
        adapter = GradientDescent(0.3, first_order=first_order)
        _, forward = torch.func.jvp(lambda t, r=adapter: replay(inner, t, supports, r, 2), (theta,), (tangent,))
        _, pull_back = torch.func.vjp(lambda t, r=adapter: replay(inner, t, supports, r, 2), theta)
        probe = {k: torch.ones_like(v) for k, v in forward.items()}
        left = sum(float((forward[k] * probe[k]).sum()) for k in forward)
        right = sum(float((pull_back(probe)[0][k] * tangent[k]).sum()) for k in theta)
        assert left == pytest.approx(right, rel=1e-9)


def test_context_alone_adapts_and_starts_at_zero(family):
    """CAVIA: the context moves, theta learns how it moves, and nothing learns where it starts."""
    policy = make_policy(family.observation_space, family.action_space, hidden_sizes=(8,), context=3)
    theta = policy.initialise(Key(4))
    assert theta["context"].tolist() == [0, 0, 0]
    assert theta["hidden.0.weight"].shape == (8, 5)
    adapter = GradientDescent(1.0, pattern="context")
    support, query = (random_batch(policy, theta, 2, seed) for seed in (0, 1))

    def inner(params, data):
        return SURROGATES["low-variance"](policy.act(params, data.observations)[0], data)

    adapted = replay(inner, theta, [support], adapter, 2)
    assert adapted["context"].abs().min() > 0
    for name, value in theta.items():
        assert name == "context" or torch.equal(adapted[name], value.expand_as(adapted[name]))

    learned = {name: value for name, value in theta.items() if name != "context"}

    def outer(vector):
        params = replay(inner, unravel(vector, learned) | {"context": theta["context"]}, [support], adapter, 2)
        return mean_over_tasks(inner(params, query))

    _, found = value_and_grad(lambda at: mean_over_tasks(inner(replay(inner, at, [support], adapter, 2), query)), theta)
    assert found.pop("context").tolist() == [0, 0, 0]
    expected = central_differences(outer, ravel(learned))
    assert float((ravel(found) - expected).abs().max() / expected.abs().max()) < 1e-6

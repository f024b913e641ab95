import pytest
import torch
from conftest import central_differences
from gymnasium import spaces

from metarl.adaptation.adapter import adapt_step, initial_state, replay, stack
from metarl.adaptation.gradient import AdamDescent, GradientDescent
from metarl.algorithms.meta_gradient import value_and_grad
from metarl.algorithms.trust_region import ravel, unravel
from metarl.core.collectives import mean_over_tasks
from metarl.core.prng import Key
from metarl.rl.data import PolicyBatch
from metarl.rl.losses import SURROGATES
from metarl.rl.policies import make_policy


def quadratic(params, data):
    """0.5 x^T A x - b^T x for every task."""
    a, b = data
    x = params["x"]
    return 0.5 * torch.einsum("ti,tij,tj->t", x, a, x) - (b * x).sum(1)


@pytest.fixture
def quadratics():
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(4, 3, 3, generator=generator, dtype=torch.float64)
    a = root @ root.mT / 3 + 0.2 * torch.eye(3, dtype=torch.float64)
    b = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    theta = {"x": torch.randn(3, generator=generator, dtype=torch.float64)}
    return a, b, theta


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


def test_later_steps_take_the_later_rate(quadratics):
    a, b, theta = quadratics
    start = initial_state(theta, 4)
    adapter = GradientDescent(0.5, 0.25)
    gradient = torch.einsum("tij,tj->ti", a, start.params["x"]) - b
    first = adapt_step(quadratic, start, (a, b), adapter)
    later = adapt_step(quadratic, start._replace(step=2), (a, b), adapter)
    torch.testing.assert_close(first.params["x"], start.params["x"] - 0.5 * gradient)
    torch.testing.assert_close(later.params["x"], start.params["x"] - 0.25 * gradient)


def random_batch(policy, theta, tasks, seed, episodes=3, steps=5):
    """A batch with ragged episodes, in float64, collected by nobody in particular."""
    generator = torch.Generator().manual_seed(seed)

    def randn(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    observations, actions = randn(tasks, episodes, steps, 2), randn(tasks, episodes, steps, 2)
    mask = torch.arange(steps) < torch.randint(1, steps + 1, (tasks, episodes, 1), generator=generator)
    weights = mask / mask.sum((1, 2), keepdim=True)
    log_probs = policy.act(stack(theta, tasks), observations)[0].log_prob(actions).detach()
    return PolicyBatch(observations, actions, log_probs, randn(tasks, episodes, steps), weights.double())


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


def test_initialisation_is_reproducible(policy):
    a, b, c = (policy.initialise(Key.from_seed(s)) for s in (1, 1, 2))
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not torch.equal(a["head.weight"], c["head.weight"])


def test_adam_descent_is_torchs_adam_for_every_task(quadratics):
    a, b, theta = quadratics
    adapter = AdamDescent(0.05, first_order=True)
    at = initial_state(adapter.add_state(theta), 4)
    for _ in range(5):
        at = adapt_step(quadratic, at, (a, b), adapter)
    for task in range(4):
        x = theta["x"].clone().requires_grad_()
        optimiser = torch.optim.Adam([x], lr=0.05, betas=(0.0, 0.999), eps=1e-8)
        for _ in range(5):
            optimiser.zero_grad()
            quadratic({"x": x[None]}, (a[task : task + 1], b[task : task + 1])).sum().backward()
            optimiser.step()
        torch.testing.assert_close(at.params["x"][task], x.detach())


def test_adams_second_moments_run_on_from_iteration_to_iteration(quadratics):
    """One task at a time is torch's Adam over all of them, put back to theta at the start of each."""
    a, b, theta = quadratics
    adapter = AdamDescent(0.05, first_order=True)
    state = adapter.add_state(theta)
    assert set(state) == {"x", "inner_memory.second.x", "inner_memory.steps"}
    assert adapter.adapted(state) == ["x"]
    x = theta["x"].clone().requires_grad_()
    optimiser = torch.optim.Adam([x], lr=0.05, betas=(0.0, 0.999), eps=1e-8)
    for task in range(4):
        data = a[task : task + 1], b[task : task + 1]
        at = initial_state(state, 1)
        with torch.no_grad():
            x.copy_(theta["x"])
        for _ in range(3):
            at = adapt_step(quadratic, at, data, adapter)
            optimiser.zero_grad()
            quadratic({"x": x[None]}, data).sum().backward()
            optimiser.step()
        torch.testing.assert_close(at.params["x"][0], x.detach())
        state = state | adapter.carried(state, at)
    assert float(state["inner_memory.steps"]) == 12
    torch.testing.assert_close(state["inner_memory.second.x"], optimiser.state[x]["exp_avg_sq"])


def test_the_mean_of_the_tasks_second_moments_goes_on(quadratics):
    a, b, theta = quadratics
    adapter = AdamDescent(0.05, first_order=True)
    state = adapter.add_state(theta)
    state["inner_memory.second.x"] = torch.tensor([0.0, 0.25, 4.0], dtype=torch.float64)
    state["inner_memory.steps"] = torch.tensor(7.0, dtype=torch.float64)
    at = adapt_step(quadratic, initial_state(state, 4), (a, b), adapter)
    gradient = torch.einsum("tij,j->ti", a, theta["x"]) - b
    second = 0.999 * state["inner_memory.second.x"] + 0.001 * gradient.square()
    moved = theta["x"] - 0.05 * gradient / ((second / (1 - 0.999**8)).sqrt() + 1e-8)
    torch.testing.assert_close(at.params["x"], moved)
    kept = adapter.carried(state, at)
    torch.testing.assert_close(kept["inner_memory.second.x"], second.mean(0))
    assert float(kept["inner_memory.steps"]) == 8


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


def test_context_is_an_input_like_any_other(family):
    policy = make_policy(family.observation_space, family.action_space, hidden_sizes=(8,), context=2)
    plain = make_policy(spaces.Box(-1, 1, (4,)), family.action_space, hidden_sizes=(8,))
    theta = policy.initialise(Key(1)) | {"context": torch.tensor([0.5, -2.0], dtype=torch.float64)}
    observations = torch.randn(1, 3, 7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    joined = torch.cat([observations, theta["context"].expand(1, 3, 7, 2)], -1)
    expected = plain.act(stack(theta, 1), joined)[0].mean
    torch.testing.assert_close(policy.act(stack(theta, 1), observations)[0].mean, expected)

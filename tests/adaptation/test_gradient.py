import pytest
import torch

from metarl.adaptation.adapter import adapt_step, initial_state, replay
from metarl.adaptation.collect import adapt
from metarl.adaptation.gradient import AdamDescent, GradientDescent, add_learned_rates, gradient_adapter, within_bounds
from metarl.algorithms.meta_gradient import value_and_grad
from metarl.algorithms.trust_region import ravel, unravel
from metarl.config.algorithms import ReptileConfig
from metarl.config.registry import find_algorithm
from metarl.config.run import InnerConfig
from metarl.config.validation import validate
from metarl.core.collectives import mean_over_tasks
from metarl.core.errors import ConfigError
from metarl.core.params import RATE
from metarl.core.prng import Key
from metarl.rl.problem import ReinforcementLearning
from tests.helpers.families import Countdown, lengths
from tests.helpers.numerics import central_differences
from tests.helpers.quadratics import Quadratics, quadratic, random_batch
from tests.helpers.steps import setup, surrogate


def test_anil_adapts_the_head_alone(policy, theta):
    adapter = GradientDescent(0.3, pattern="head.*")
    support, query = (random_batch(policy, theta, 2, seed) for seed in (0, 1))
    adapted = adapt_step(surrogate(policy), initial_state(theta, 2), support, adapter).params
    for name, value in adapted.items():
        moved = not torch.equal(value, theta[name].expand_as(value))
        assert moved == name.startswith("head."), name

    def outer(vector):
        params = replay(surrogate(policy), unravel(vector, theta), [support], adapter, 2)
        return mean_over_tasks(surrogate(policy)(params, query))

    _, gradient = value_and_grad(lambda at: outer(ravel(at)), theta)
    expected = central_differences(outer, ravel(theta))
    assert float((ravel(gradient) - expected).abs().max() / expected.abs().max()) < 1e-6
    assert float(gradient["hidden.0.weight"].abs().max()) > 0


@pytest.mark.parametrize("kind", ["per-layer", "per-parameter"])
def test_gradient_of_a_learned_rate_in_closed_form(kind):
    """d/dlr of L(x - lr g) is -g . L'(x - lr g), elementwise or summed."""
    problem = Quadratics()
    theta = add_learned_rates(problem.theta, GradientDescent(0.1), kind)
    assert theta[RATE + "x"].shape == ((3,) if kind == "per-parameter" else ())
    adapter = GradientDescent(0.1)
    _, found = value_and_grad(
        lambda at: mean_over_tasks(
            quadratic(replay(quadratic, at, [(problem.a, problem.b)], adapter, 4), (problem.a, problem.b))
        ),
        theta,
    )
    x = problem.theta["x"].expand(4, 3)
    inner = problem.gradient(x)
    expected = (-inner * problem.gradient(x - 0.1 * inner)).mean(0)
    torch.testing.assert_close(found[RATE + "x"], expected if kind == "per-parameter" else expected.sum())


def test_meta_gradient_with_learned_rates_against_finite_differences(policy, theta):
    adapter = GradientDescent(0.3, 0.1)
    theta = add_learned_rates(theta, adapter, "per-layer")
    supports = [random_batch(policy, theta, 2, seed) for seed in range(2)]
    query = random_batch(policy, theta, 2, 9)

    def outer(vector):
        params = replay(surrogate(policy), unravel(vector, theta), supports, adapter, 2)
        return mean_over_tasks(surrogate(policy)(params, query))

    _, gradient = value_and_grad(lambda at: outer(ravel(at)), theta)
    expected = central_differences(outer, ravel(theta))
    assert float((ravel(gradient) - expected).abs().max() / expected.abs().max()) < 1e-6


def test_learned_rates_stay_within_bounds(theta):
    theta = {"x": torch.ones(2), RATE + "x": torch.tensor([-0.3, 99.0])}
    bounded = within_bounds(theta, 0.5)
    assert bounded[RATE + "x"].tolist() == [0.0, 5.0]
    assert torch.equal(bounded["x"], theta["x"])


def test_a_pattern_that_fits_nothing_is_said(theta):
    with pytest.raises(ConfigError, match=r"--inner.adapt = body.*valid: hidden.0.weight"):
        add_learned_rates(theta, GradientDescent(0.1, pattern="body"), "none")


def test_what_is_no_inner_rule_is_refused():
    with pytest.raises(ConfigError, match=r"--inner.optimiser = addam.*did you mean 'adam'"):
        validate(ReptileConfig(inner=InnerConfig(steps=1, optimiser="addam")))
    with pytest.raises(ConfigError, match=r"expected a class that extends metarl\.adaptation\.GradientDescent"):
        gradient_adapter(InnerConfig(steps=1, optimiser="collections:OrderedDict"))
    with pytest.raises(ConfigError, match="did you mean 'reptile'"):
        find_algorithm("reptil")


def test_later_steps_take_the_later_rate(quadratics):
    a, b, theta = quadratics
    start = initial_state(theta, 4)
    adapter = GradientDescent(0.5, 0.25)
    gradient = torch.einsum("tij,tj->ti", a, start.params["x"]) - b
    first = adapt_step(quadratic, start, (a, b), adapter)
    later = adapt_step(quadratic, start._replace(step=2), (a, b), adapter)
    torch.testing.assert_close(first.params["x"], start.params["x"] - 0.5 * gradient)
    torch.testing.assert_close(later.params["x"], start.params["x"] - 0.25 * gradient)


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


def test_what_tasks_have_adapted_to_is_counted_in_their_own_steps():
    """Episodes end after 1, 3 and 6 steps: two of them a step of adaptation."""
    policy, theta, envs = setup(Countdown(), lengths(1, 3, 9), 2)
    problem = ReinforcementLearning(policy, lambda tasks: envs, horizon=6, episodes=2)
    states = [state for state, _ in adapt(problem, theta, lengths(1, 3, 9), Key(1), GradientDescent(0.1), 2)]
    assert [torch.as_tensor(state.used).tolist() for state in states] == [0, [2, 6, 12], [4, 12, 24]]
    assert [state.step for state in states] == [0, 1, 2]
    assert not torch.equal(states[2].params["head.weight"], states[0].params["head.weight"])


def test_a_gradient_adapter_acts_without_memory_and_says_its_rates(quadratics):
    adapter = GradientDescent(0.5, 0.25)
    state = adapter.initial(quadratics[2], {"index": range(4)}, Key(0))
    params, memory = adapter.policy(state)
    assert memory is None
    assert params["x"].tolist() == [quadratics[2]["x"].tolist()] * 4
    assert adapter.facts() == {"inner_lr": 0.5, "later_inner_lr": 0.25}
    assert GradientDescent(0.5).facts()["later_inner_lr"] == 0.5
    assert GradientDescent(0.5, learned_lr="per-layer").facts()["inner_lr"] == "learned"
    assert adapter.carried(quadratics[2], state) == {}

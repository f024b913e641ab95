"""The curvature of a trust region is an unbiased estimate, whatever the inner rule, and the step uses its bound."""

import pytest
import torch

from metarl.algorithms.meta_gradient import value_and_grad
from metarl.algorithms.trust_region import (
    GaussNewton,
    every_nth_task,
    line_search,
    ravel,
    trust_region_step,
    unravel,
)
from metarl.config.algorithms import TrustRegionConfig
from metarl.config.run import InnerConfig, PolicyConfig
from metarl.core.collectives import mean_over_tasks
from metarl.core.seed_axis import use_seed_axis
from metarl.core.timing import Phases
from metarl.rl.data import PolicyBatch
from tests.helpers.collected import collected, distribution_of

MAX_KL = 0.01


def random_spd(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    n = shape[-1]
    root = torch.randn(*shape, n, generator=generator, dtype=torch.float64)
    target = torch.randn(*shape, generator=generator, dtype=torch.float64)
    return root @ root.mT / n + 0.1 * torch.eye(n, dtype=torch.float64), target


def quadratic_search(hessian, gradient, supposed, **options):
    """A line search whose KL is s^T H s / 2, along a step whose length was computed with another Hessian."""
    direction = torch.linalg.solve(hessian, gradient)
    length = (2 * MAX_KL / torch.einsum("...i,...ij,...j->...", direction, supposed, direction)).sqrt()

    def evaluate(at):
        moved = at["x"]
        loss = (gradient * moved).sum(-1)
        return loss, torch.einsum("...i,...ij,...j->...", moved, hessian, moved) / 2

    theta = {"x": torch.zeros_like(gradient)}
    settings = {"max_kl": MAX_KL, "max_backtracks": 15, "backtrack_ratio": 0.8} | options
    return line_search(evaluate, theta, length[..., None] * direction, loss=length * 0, **settings)


@pytest.mark.parametrize("factor", [0.01, 0.25, 1.0, 1.1, 4.0, 100.0])
def test_a_step_reaches_the_bound_whatever_the_scale_of_the_curvature(factor):
    hessian, gradient = random_spd(6)
    found = quadratic_search(hessian, gradient, factor * hessian)
    assert found.accepted
    assert found.backtracks == 0
    assert 0.9 * MAX_KL <= float(found.kl) <= MAX_KL
    assert int(found.rescalings) == int(factor not in (1.0, 1.1))


def test_each_seed_reaches_the_bound():
    hessian, gradient = random_spd(4, 6)
    gradient[3] = 0
    factors = torch.tensor([0.25, 1.0, 4.0, 1.0], dtype=torch.float64)[:, None, None]
    with use_seed_axis(4):
        found = quadratic_search(hessian, gradient, factors * hessian + 1e-9)
    assert found.accepted.tolist() == [True, True, True, False]
    assert found.backtracks.tolist() == [0, 0, 0, -1]
    assert found.rescalings[:3].tolist() == [1, 0, 1]
    assert bool(((found.kl[:3] >= 0.9 * MAX_KL) & (found.kl[:3] <= MAX_KL)).all())
    assert (float(found.kl[3]), found.theta["x"][3].tolist()) == (0.0, [0.0] * 6)
    for seed in range(3):
        alone = quadratic_search(hessian[seed], gradient[seed], factors[seed] * hessian[seed] + 1e-9)
        torch.testing.assert_close(found.theta["x"][seed], alone.theta["x"], rtol=1e-12, atol=0)


@pytest.mark.parametrize("length", [0.01, 0.3, 1.0, 5.0])
@pytest.mark.parametrize(
    "kl_of",
    [
        lambda s: 0.01 * s**4,
        lambda s: 0.01 * s**1.5,
        lambda s: 0.02 * s**2 / (1 + s**2),
        lambda s: torch.expm1(s**2) / 50,
    ],
)
def test_the_bound_holds_where_the_kl_is_no_quadratic(kl_of, length):
    def evaluate(at):
        return at["x"].sum(), kl_of(-at["x"].sum())

    found = line_search(
        evaluate, {"x": torch.zeros(1).double()}, torch.tensor([length]).double(), loss=torch.zeros(()).double(),
        max_kl=MAX_KL, max_backtracks=15, backtrack_ratio=0.8,
    )  # fmt: skip
    assert found.accepted
    assert 0.9 * MAX_KL <= float(found.kl) <= MAX_KL


def test_a_kl_that_is_not_finite_is_backed_away_from():
    def evaluate(at):
        s = -at["x"].sum()
        return -s, torch.where(s > 1, float("nan"), 0.009 * s.square())

    found = line_search(
        evaluate, {"x": torch.zeros(1)}, torch.tensor([1.5]), loss=torch.zeros(()),
        max_kl=MAX_KL, max_backtracks=15, backtrack_ratio=0.8,
    )  # fmt: skip
    assert (found.backtracks, found.rescalings) == (2, 0)
    assert float(found.theta["x"]) == pytest.approx(-1.5 * 0.8**2)


def test_the_loss_may_shorten_a_step_that_the_kl_lengthened():
    """The KL allows a length of 4; beyond 2 the loss rises."""

    def evaluate(at):
        s = -at["x"].sum()
        return s * (s - 2), MAX_KL * (s / 4) ** 2

    found = line_search(
        evaluate, {"x": torch.zeros(1).double()}, torch.ones(1).double(), loss=torch.zeros(()).double(),
        max_kl=MAX_KL, max_backtracks=15, backtrack_ratio=0.8,
    )  # fmt: skip
    assert (found.rescalings, found.backtracks) == (1, 3)
    assert float(found.loss) < 0


def hessian_of_the_kl(problem, adapter, supports, query, theta, tasks):
    """Products with it by double backward."""
    distribution = distribution_of(problem, adapter, supports, query, tasks)
    old = type(distribution(theta))(*(part.detach() for part in distribution(theta)))
    leaf = ravel(theta).requires_grad_()
    kl = mean_over_tasks(problem.divergence(distribution(unravel(leaf, theta)), old, query))
    (slope,) = torch.autograd.grad(kl, leaf, create_graph=True)
    return lambda vector: torch.autograd.grad(slope @ vector, leaf, retain_graph=True)[0]


RULES = {
    "meta-sgd": {"inner": InnerConfig(lr=0.3, learned_lr="per-parameter")},
    "anil": {"inner": InnerConfig(lr=0.3, adapt="head", learned_lr="per-layer")},
    "cavia": {"inner": InnerConfig(lr=0.3, adapt="context"), "policy": PolicyConfig((6,), context=2)},
    "two-steps": {"inner": InnerConfig(lr=0.3, later_lr=0.1, steps=2)},
    "checkpointing": {"inner": InnerConfig(lr=0.3, later_lr=0.1, steps=2, checkpointing=True)},
    "adam": {"inner": InnerConfig(lr=0.01, optimiser="adam", first_order=True)},
    "dice": {"inner": InnerConfig(lr=0.3, estimator="dice")},
    "normalised": {"policy": PolicyConfig((6,), normalise_observations=True)},
    "categorical": {"family": "tabular-mdp", "variant": None},
}


@pytest.mark.parametrize("name", RULES)
def test_products_are_those_of_the_hessian_of_the_kl_for_any_inner_rule(name):
    problem, theta, adapter, supports, query = collected(RULES[name])
    found = GaussNewton(distribution_of(problem, adapter, supports, query, 3), theta, query.weights, damping=0.0)
    vector = torch.randn(ravel(theta).shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = hessian_of_the_kl(problem, adapter, supports, query, theta, 3)(vector)
    torch.testing.assert_close(found(vector), expected, rtol=1e-8, atol=1e-12)


def captured_step(monkeypatch, problem, theta, supports, query, adapter, region, first_task=0):
    """The whole step that the line search begins with."""
    steps = []

    def search(evaluate, theta, step, **options):
        steps.append(step)
        return line_search(evaluate, theta, step, **options)

    monkeypatch.setattr("metarl.algorithms.trust_region.line_search", search)
    _, metrics = trust_region_step(problem, theta, supports, query, adapter, first_task, region, Phases())
    return steps[0], metrics


@pytest.mark.parametrize(
    ("stride", "first_task", "chosen"), [(1, 0, [0, 1, 2]), (2, 0, [0, 2]), (2, 1, [1]), (3, 2, [1])]
)
def test_the_step_is_that_of_the_curvature_of_every_nth_task(monkeypatch, stride, first_task, chosen):
    """Its length too: s^T H s / 2 is the bound, with H the KL's Hessian on all data of these tasks."""
    monkeypatch.setattr("metarl.algorithms.trust_region.FEWEST_TASKS", 1)
    problem, theta, adapter, supports, query = collected({"inner": InnerConfig(lr=0.3)}, episodes=5)
    region = TrustRegionConfig(curvature_stride=stride, damping=1e-2, cg_iterations=300)
    step, metrics = captured_step(monkeypatch, problem, theta, supports, query, adapter, region, first_task)
    rows = torch.tensor(chosen)
    part = [PolicyBatch._make(x[rows] for x in data) for data in (supports[0], query)]
    hessian = hessian_of_the_kl(problem, adapter, [part[0]], part[1], theta, len(chosen))
    image = hessian(step) + 1e-2 * step
    assert float(step @ image / 2) == pytest.approx(region.max_kl, rel=1e-6)
    loss, gradient = value_and_grad(
        lambda at: mean_over_tasks(problem.loss_of(distribution_of(problem, adapter, supports, query, 3)(at), query)),
        theta,
    )
    torch.testing.assert_close(image / image.norm(), ravel(gradient) / ravel(gradient).norm(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(metrics["outer_loss"], loss)


def test_the_curvature_of_some_tasks_is_an_unbiased_estimate():
    """The mean over all ways to choose every third task is the product with all tasks."""
    problem, theta, adapter, supports, query = collected({"inner": InnerConfig(lr=0.3)})
    vector = torch.randn(ravel(theta).shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def product(rows):
        own = [PolicyBatch._make(x[rows] for x in data) for data in (supports[0], query)]
        adapted = distribution_of(problem, adapter, [own[0]], own[1], len(rows))
        return GaussNewton(adapted, theta, own[1].weights, damping=0.0)(vector)

    parts = torch.stack([product(torch.tensor([task])) for task in range(3)])
    torch.testing.assert_close(parts.mean(0), product(torch.arange(3)), rtol=1e-10, atol=1e-14)
    assert float(parts.std(0).norm()) > 0.1 * float(parts.mean(0).norm())


def test_ranks_and_seeds_choose_the_tasks_of_the_whole_meta_batch(monkeypatch):
    assert every_nth_task(20, 0, 4).tolist() == [0, 4, 8, 12, 16]
    assert every_nth_task(8, 0, 4).tolist() == list(range(8))  # five at least
    assert every_nth_task(12, 0, 4).tolist() == [0, 2, 4, 6, 8, 10]
    with use_seed_axis(2):
        assert every_nth_task(40, 0, 4).tolist() == [0, 4, 8, 12, 16, 20, 24, 28, 32, 36]
    monkeypatch.setattr("metarl.algorithms.trust_region.global_num_tasks", lambda tasks: 20)
    shares = [(0, 7), (7, 7), (14, 1), (15, 5)]
    chosen = [first + int(task) for first, own in shares for task in every_nth_task(own, first, 4)]
    assert chosen == [0, 4, 8, 12, 16]
    assert every_nth_task(1, 14, 4).tolist() == []

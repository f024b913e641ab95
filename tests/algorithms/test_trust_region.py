import pytest
import torch
from gymnasium import spaces

from metarl.adaptation.adapter import replay
from metarl.adaptation.gradient import GradientDescent
from metarl.algorithms.trust_region import GaussNewton, conjugate_gradient, line_search, ravel, unravel
from metarl.config.algorithms import MamlTrpoConfig
from metarl.config.run import PolicyConfig
from metarl.core.collectives import mean_over_tasks
from metarl.core.prng import Key
from metarl.core.seed_axis import use_seed_axis
from metarl.rl.policies import make_policy
from metarl.rl.setup import build_problem
from tests.helpers.quadratics import random_batch


def test_each_seed_has_a_conjugate_gradient_of_its_own():
    """One target is zero, one an eigenvector that a single iteration solves for, and one takes them all."""
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(3, 6, 6, generator=generator, dtype=torch.float64)
    matrices = root @ root.mT + torch.eye(6, dtype=torch.float64)
    targets = torch.randn(3, 6, generator=generator, dtype=torch.float64)
    targets[0] = 0
    targets[1] = torch.linalg.eigh(matrices[1]).eigenvectors[:, 2]
    options = {"iterations": 4, "tolerance": 1e-20}
    with use_seed_axis(3):
        x, image = conjugate_gradient(lambda v: torch.einsum("sij,sj->si", matrices, v), targets, **options)
    for matrix, target, found, mapped in zip(matrices, targets, x, image, strict=True):
        alone, alone_mapped = conjugate_gradient(lambda v, m=matrix: m @ v, target, **options)
        torch.testing.assert_close(found, alone, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(mapped, alone_mapped, rtol=1e-12, atol=1e-14)


def test_each_seed_has_a_line_search_of_its_own():
    """The first takes the whole step, the second the fourth candidate, and the third stays where it is."""
    theta = {"a": torch.zeros(3, 2, dtype=torch.float64), "b": torch.zeros(3, dtype=torch.float64)}
    reach, asked = torch.tensor([1.0, 0.2, -1.0], dtype=torch.float64), []

    def evaluate(at):
        moved = -at["b"]
        asked.append(moved.tolist())
        return torch.where(moved <= reach, -moved, 1.0), moved / 100

    with use_seed_axis(3):
        found = line_search(
            evaluate, theta, torch.ones(3, 3, dtype=torch.float64), loss=torch.zeros(3, dtype=torch.float64),
            max_kl=0.01, max_backtracks=6, backtrack_ratio=0.5,
        )  # fmt: skip
    assert found.accepted.tolist() == [True, True, False]
    assert found.backtracks.tolist() == [0, 3, -1]
    assert found.theta["b"].tolist() == [-1.0, -0.125, 0.0]
    assert found.theta["a"].tolist() == [[-1.0, -1.0], [-0.125, -0.125], [0.0, 0.0]]
    assert found.loss.tolist() == [-1.0, -0.125, 0.0]
    assert found.kl.tolist() == [0.01, 0.00125, 0.0]
    assert len(asked) == 6


@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("steps", [0, 1, 2])
def test_gauss_newton_is_the_hessian_of_the_kl(policy, theta, steps, first_order, family):
    """Against double backward of the mean KL, at the parameters that define it."""
    supports = [random_batch(policy, theta, 3, seed) for seed in range(steps)]
    query = random_batch(policy, theta, 3, 99)
    problem = build_problem(MamlTrpoConfig(policy=PolicyConfig(hidden_sizes=(8, 8))), family, policy)
    adapter = GradientDescent(0.3, first_order=first_order)

    def distribution(at):
        return problem.distribution(replay(problem.inner_loss, at, supports, adapter, 3), query)

    old = type(distribution(theta))(*(x.detach() for x in distribution(theta)))
    vector = torch.randn(ravel(theta).shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    damping = 0.25
    found = GaussNewton(distribution, theta, query.weights, damping=damping)(vector)

    flat = ravel(theta).requires_grad_()
    kl = mean_over_tasks(problem.divergence(distribution(unravel(flat, theta)), old, query))
    (gradient,) = torch.autograd.grad(kl, flat, create_graph=True)
    assert float(gradient.detach().abs().max()) < 1e-12
    (expected,) = torch.autograd.grad(gradient @ vector, flat)
    torch.testing.assert_close(found, expected + damping * vector, rtol=1e-8, atol=1e-10)


def test_gauss_newton_of_a_categorical_policy():
    policy = make_policy(spaces.Box(-1, 1, (2,)), spaces.Discrete(3), hidden_sizes=(4,))
    theta = policy.initialise(Key.from_seed(1))
    observations = torch.randn(2, 3, 4, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    weights = torch.full((2, 3, 4), 1 / 12, dtype=torch.float64)

    def distribution(at):
        return policy.act({k: v.expand(2, *v.shape) for k, v in at.items()}, observations)[0]

    vector = torch.randn(ravel(theta).shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = GaussNewton(distribution, theta, weights, damping=0.0)(vector)
    old = type(distribution(theta))(*(x.detach() for x in distribution(theta)))
    flat = ravel(theta).requires_grad_()
    kl = (distribution(unravel(flat, theta)).kl_from(old) * weights).sum((1, 2)).mean()
    (gradient,) = torch.autograd.grad(kl, flat, create_graph=True)
    (expected,) = torch.autograd.grad(gradient @ vector, flat)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)


def test_conjugate_gradient_solves():
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(12, 12, generator=generator, dtype=torch.float64)
    matrix = root @ root.T + torch.eye(12, dtype=torch.float64)
    target = torch.randn(12, generator=generator, dtype=torch.float64)
    x, image = conjugate_gradient(lambda v: matrix @ v, target, iterations=30, tolerance=1e-24)
    torch.testing.assert_close(x, torch.linalg.solve(matrix, target), rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(image, matrix @ x, rtol=1e-8, atol=1e-8)
    few, image = conjugate_gradient(lambda v: matrix @ v, target, iterations=3)
    torch.testing.assert_close(image, matrix @ few)


def search(evaluate, **options):
    theta = {"x": torch.tensor([0.0], dtype=torch.float64)}
    defaults = {"loss": torch.tensor(0.0).double(), "max_kl": 1.0, "max_backtracks": 5, "backtrack_ratio": 0.5}
    return line_search(evaluate, theta, torch.tensor([-8.0], dtype=torch.float64), **(defaults | options))


def test_line_search_takes_the_longest_step_within_the_region():
    found = search(lambda p: (-p["x"].abs().sum(), p["x"].square().sum() / 10))
    assert (found.accepted, found.backtracks, found.rescalings) == (True, 0, 1)
    assert float(found.kl) == pytest.approx(0.95)
    assert float(found.theta["x"]) == pytest.approx(9.5**0.5)


def test_line_search_keeps_theta_where_nothing_improves():
    found = search(lambda p: (p["x"].abs().sum(), p["x"].square().sum() / 1e6))
    assert (found.accepted, float(found.theta["x"]), found.kl) == (False, 0.0, 0.0)
    found = search(lambda p: (-p["x"].abs().sum() * float("nan"), p["x"].sum()))
    assert not found.accepted


def test_vectors_round_trip(theta):
    back = unravel(ravel(theta), theta)
    assert list(back) == list(theta)
    assert all(torch.equal(back[k], theta[k]) for k in theta)

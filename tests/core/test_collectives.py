import torch

from metarl.adaptation.adapter import replay
from metarl.adaptation.gradient import GradientDescent
from metarl.algorithms.meta_gradient import value_and_grad
from metarl.core.collectives import broadcast_to_tasks, mean_over_tasks
from metarl.core.ordered_sums import on_share
from tests.helpers.quadratics import quadratic


def quadratics(n):
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(n, 3, 3, generator=generator, dtype=torch.float64)
    data = root @ root.mT / 3 + 0.2 * torch.eye(3, dtype=torch.float64), torch.randn(n, 3, generator=generator).double()
    return data, {"x": torch.randn(3, generator=generator, dtype=torch.float64)}


def test_the_meta_gradient_of_ranks_is_that_of_one_process():
    data, theta = quadratics(4)
    adapter = GradientDescent(0.1)

    def value_and_gradient(part, place=0):
        own = tuple(x[part] for x in data)
        n = len(own[0])
        return value_and_grad(
            lambda t: mean_over_tasks(quadratic(replay(quadratic, t, [own] * 2, adapter, n), own)), theta
        )

    value, gradient = value_and_gradient(slice(0, 4))
    shared = on_share(4, True, value_and_gradient)
    torch.testing.assert_close(shared[0], value, rtol=1e-13, atol=0)
    torch.testing.assert_close(shared[1]["x"], gradient["x"], rtol=1e-13, atol=1e-15)


def test_products_with_the_curvature_differentiate_through_the_sum():
    """J^T M J by a derivative of the pull-back, as the trust region has it, against the same in one process."""
    data, theta = quadratics(4)
    vector = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)

    def product(part, place=0):
        leaf = theta["x"].clone().requires_grad_()
        spreaded = broadcast_to_tasks({"x": leaf}, part.stop - part.start)["x"]
        outputs = (data[0][part] @ spreaded[..., None]).squeeze(-1).sin()
        probe = torch.zeros_like(outputs).requires_grad_()
        (pulled,) = torch.autograd.grad(outputs, leaf, probe, create_graph=True)
        (image,) = torch.autograd.grad(pulled, probe, vector, retain_graph=True)
        return torch.autograd.grad(outputs, leaf, image)[0]

    expected = product(slice(0, 4))
    torch.testing.assert_close(on_share(4, True, product), expected, rtol=1e-13, atol=1e-15)

"""The Conv-4 against torch's own layers, and batched against one task at a time."""

import pytest
import torch
import torch.nn.functional as F

from benchmarks.fewshot.conv4 import EPSILON, Conv4, convolve, normalise
from benchmarks.fewshot.supervised import cross_entropy
from metarl.adaptation.adapter import replay
from metarl.adaptation.gradient import GradientDescent
from metarl.algorithms.meta_gradient import value_and_grad
from metarl.core.collectives import mean_over_tasks
from metarl.core.prng import Key


def by_torch(params, images, *, halving, average):
    """One task's network out of torch.nn.functional, batch normalisation in training mode."""
    x = images
    for i in range(4):
        x = F.conv2d(x, params[f"conv.{i}.weight"], stride=2 if halving == "stride" else 1, padding=1)
        x = F.batch_norm(
            x, None, None, params[f"norm.{i}.scale"], params[f"norm.{i}.shift"], training=True, eps=EPSILON
        )
        x = torch.relu(x)
        if halving == "max-pool":
            x = F.max_pool2d(x, 2)
    x = x.mean((2, 3)) if average else x.flatten(1)
    return F.linear(x, params["head.weight"], params["head.bias"])


def several(network, tasks):
    """Parameters that differ from task to task."""
    drawn = [network.initialise(Key.from_seed(i)) for i in range(tasks)]
    return {
        name: torch.stack([d[name] for d in drawn]) * torch.linspace(0.8, 1.2, tasks, dtype=torch.float64).reshape(
            -1, *[1] * drawn[0][name].ndim
        )
        for name in drawn[0]
    }  # fmt: skip


@pytest.mark.parametrize(
    ("halving", "average", "size"), [("stride", True, 28), ("stride", False, 17), ("max-pool", False, 28)]
)
@pytest.mark.parametrize("tasks", [1, 3])
def test_layers_are_torchs(halving, average, size, tasks):
    network = Conv4(2, 5, size=size, filters=6, halving=halving, average=average)
    params = several(network, tasks)
    images = torch.rand(tasks, 7, 2, size, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = network(params, images)
    for i in range(tasks):
        own = {name: value[i] for name, value in params.items()}
        torch.testing.assert_close(found[i], by_torch(own, images[i], halving=halving, average=average))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(5, 5), (6, 7)])
def test_gradients_of_convolutions_of_both_orders(stride, size):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2, 2, *size, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.rand(2, 2, 3, 3, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(convolve, (x, weight, stride))
    assert torch.autograd.gradgradcheck(convolve, (x, weight, stride))


@pytest.mark.parametrize("batches", [1, 2])
def test_gradients_of_batch_normalisation_of_both_orders(batches):
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape):
        return torch.rand(*shape, generator=generator, dtype=torch.float64, requires_grad=True)

    x, scale, shift = drawn(2, 4, 3, 2, 3), drawn(2, 3), drawn(2, 3)
    assert torch.autograd.gradcheck(normalise, (x, scale, shift, batches))
    assert torch.autograd.gradgradcheck(normalise, (x, scale, shift, batches))


def test_variance_of_numbers_far_from_zero_is_exact():
    """The mean is subtracted before squares are added up."""
    x = 1000 + torch.randn(1, 50, 2, 2, 3, generator=torch.Generator().manual_seed(0))
    ones, zeros = torch.ones(1, 3), torch.zeros(1, 3)
    wide = normalise(x.double(), ones.double(), zeros.double(), 1)
    assert (normalise(x, ones, zeros, 1) - wide).abs().max() < 1e-3


def test_each_batch_has_statistics_of_its_own():
    network = Conv4(1, 3, size=16, filters=4)
    params = several(network, 2)
    images = torch.rand(2, 6, 1, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    parted = torch.cat([network(params, images[:, :3]), network(params, images[:, 3:])], 1)
    torch.testing.assert_close(network(params, images, 2), parted)
    assert (network(params, images) - parted).abs().max() > 1e-3


@pytest.mark.parametrize("options", [{}, {"first_order": True}, {"checkpointing": True}], ids=str)
def test_the_meta_gradient_of_a_batch_is_the_mean_of_single_tasks(options):
    """A single task is convolved by torch.conv2d, several by unfolding."""
    network = Conv4(1, 3, size=14, filters=4)
    theta = network.initialise(Key.from_seed(1))
    generator = torch.Generator().manual_seed(0)
    support, query = (torch.rand(3, 6, 1, 14, 14, generator=generator, dtype=torch.float64) for _ in range(2))
    labels = torch.arange(3).repeat(2).expand(3, -1)
    adapter = GradientDescent(0.4, **options)

    def loss(params, data):
        return cross_entropy(network(params, data[0]), data[1])

    def meta_gradient(rows):
        data, judged = (support[rows], labels[rows]), (query[rows], labels[rows])
        n = len(data[0])
        return value_and_grad(lambda at: mean_over_tasks(loss(replay(loss, at, [data] * 2, adapter, n), judged)), theta)

    value, gradient = meta_gradient(slice(None))
    single = [meta_gradient(slice(i, i + 1)) for i in range(3)]
    torch.testing.assert_close(value, torch.stack([v for v, _ in single]).mean())
    for name, slope in gradient.items():
        torch.testing.assert_close(slope, torch.stack([g[name] for _, g in single]).mean(0))


def test_initial_weights_are_glorot_and_depend_on_the_key():
    network = Conv4(1, 5, size=28, filters=64)
    params = network.initialise(Key.from_seed(1))
    bound = (6 / (9 * 128)) ** 0.5
    assert params["conv.2.weight"].abs().max() < bound
    assert params["conv.2.weight"].std() == pytest.approx(bound / 3**0.5, rel=0.02)
    assert params["head.weight"].shape == (5, 64)
    assert not torch.equal(params["conv.1.weight"], network.initialise(Key.from_seed(2))["conv.1.weight"])

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from metarl.core.prng import Key
from metarl.networks.cnn import Cnn
from metarl.networks.factory import chosen_network
from metarl.networks.layout import Layout
from metarl.networks.module import ModuleNetwork
from tests.helpers.spaces import IMAGE, PARTS


def stacked(network, tasks, seed=0):
    generator = torch.Generator().manual_seed(seed)
    theta = network.initialise(Key.from_seed(seed))
    return {
        name: value + 0.1 * torch.randn(tasks, *value.shape, generator=generator, dtype=value.dtype)
        for name, value in theta.items()
    }


@pytest.mark.parametrize("space", [IMAGE, PARTS, spaces.Box(0, 255, (4, 20, 20), np.uint8)])
def test_each_task_has_convolutions_of_its_own(space):
    layout = Layout(space)
    network = ModuleNetwork(Cnn, layout, 3)
    params = stacked(network, 2)
    rows = torch.randint(0, 256, (2, 5, layout.size), dtype=torch.uint8)
    for task in range(2):
        module = Cnn(space, 3).double()
        module.load_state_dict({name: value[task] for name, value in params.items()})
        torch.testing.assert_close(network(params, rows)[task], module(layout.restore(rows[task], torch.float64)))


def test_derivatives_through_convolutions_match_finite_differences():
    """First and second derivatives in reverse mode, and the forward mode of the trust region."""
    layout = Layout(spaces.Box(0, 255, (6, 5, 1), np.uint8))
    network = ModuleNetwork(lambda space, outputs: Cnn(space, outputs, (3,)), layout, 2)
    names = list(network.initialise(Key(0)))
    params = stacked(network, 2)
    rows = torch.randint(0, 256, (2, 4, layout.size), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))

    def adapted(*values):
        given = dict(zip(names, values, strict=True))
        slopes = torch.autograd.grad(network(given, rows).square().sum(), list(values), create_graph=True)
        moved = {name: given[name] - 0.1 * slope for name, slope in zip(names, slopes, strict=True)}
        return network(moved, rows).sin().sum()

    values = [params[name].clone().requires_grad_() for name in names]
    gradient = torch.autograd.grad(adapted(*values), values)
    generator = torch.Generator().manual_seed(3)
    along = [torch.randn(value.shape, generator=generator, dtype=torch.float64) for value in values]
    sides = [adapted(*(v.detach().requires_grad_() + s * 1e-6 * d for v, d in zip(values, along, strict=True)))
             for s in (1, -1)]  # fmt: skip
    slope = sum(float((g * d).sum()) for g, d in zip(gradient, along, strict=True))
    assert slope == pytest.approx(float(sides[0] - sides[1]) / 2e-6, rel=1e-5)

    tangents = dict(zip(names, along, strict=True))
    _, found = torch.func.jvp(lambda p: network(p, rows), (params,), (tangents,))
    ahead, behind = (network({n: params[n] + s * 1e-6 * tangents[n] for n in names}, rows) for s in (1, -1))
    torch.testing.assert_close(found, (ahead - behind) / 2e-6, rtol=1e-5, atol=1e-7)


def test_it_is_the_default_for_images():
    assert chosen_network(None, IMAGE) == "cnn"
    assert chosen_network(None, PARTS) == "cnn"
    assert chosen_network("mlp", IMAGE) == "mlp"
    assert chosen_network(None, spaces.Dict({"speed": spaces.Box(-1, 1, (2,))})) == "mlp"


@pytest.mark.parametrize(("side", "layers"), [(7, 1), (8, 1), (9, 2), (64, 4), (84, 5)])
def test_convolutions_leave_at_most_four_places(side, layers):
    network = Cnn(spaces.Box(0, 255, (side, side, 3), np.uint8), 2, (4,))
    found = [part for part in network.modules() if isinstance(part, nn.Conv2d)]
    assert len(found) == layers
    assert network(torch.zeros(2, side, side, 3)).shape == (2, 2)

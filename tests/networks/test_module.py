import pytest
import torch
from gymnasium import spaces
from torch import nn

from metarl.core.errors import ConfigError
from metarl.core.prng import Key
from metarl.networks.layout import Layout
from metarl.networks.module import ModuleNetwork
from metarl.rl.networks import StackedMLP
from tests.helpers.networks import Scaled, of_parts, two_layers

FLAT = Layout(spaces.Box(-1, 1, (3,)))


def perturbed(theta, tasks):
    """Stacked parameters that differ from task to task."""
    generator = torch.Generator().manual_seed(0)
    return {
        name: value + 0.1 * torch.randn(tasks, *value.shape, generator=generator, dtype=value.dtype)
        for name, value in theta.items()
    }


def alone(network, params, task, rows):
    """The output of one task's own module, without vmap."""
    module = network.factory(network.layout.space, network.outputs).double()
    for name, value in module.named_parameters():
        if name in params:
            value.data = params[name][task]
    return module(network.layout.restore(rows, torch.float64))


def test_a_module_gives_the_same_as_the_stacked_perceptron():
    stacked = StackedMLP(3, 2, (6,), "tanh")
    network = ModuleNetwork(two_layers, FLAT, 2)
    params = perturbed(network.initialise(Key(0)), 3)
    inputs = torch.randn(3, 4, 5, 3, dtype=torch.float64)
    torch.testing.assert_close(network(params, inputs), stacked(params, inputs))


@pytest.mark.parametrize("tasks", [1, 3])
def test_each_task_has_a_module_of_its_own(tasks):
    network = ModuleNetwork(Scaled, FLAT, 2)
    params = perturbed(network.initialise(Key(0)), tasks)
    inputs = torch.randn(tasks, 4, 3, dtype=torch.float64)
    for task in range(tasks):
        torch.testing.assert_close(network(params, inputs)[task], alone(network, params, task, inputs[task]))


def test_gradients_through_an_inner_step_match_finite_differences():
    """The derivative of a loss after a step of gradient descent, as MAML takes it, for every task at once."""
    network = ModuleNetwork(two_layers, FLAT, 2)
    theta = network.initialise(Key.from_seed(3))
    generator = torch.Generator().manual_seed(1)
    support, query = torch.randn(2, 2, 5, 3, generator=generator, dtype=torch.float64)

    def adapted_loss(*values):
        params = {name: value.expand(2, *value.shape) for name, value in zip(theta, values, strict=True)}
        inner = network(params, support).square().sum()
        slopes = torch.autograd.grad(inner, list(params.values()), create_graph=True)
        moved = {name: value - 0.1 * slope for (name, value), slope in zip(params.items(), slopes, strict=True)}
        return network(moved, query).sin().sum()

    assert torch.autograd.gradcheck(adapted_loss, [v.requires_grad_() for v in theta.values()])


def test_forward_derivatives_match_finite_differences():
    """The trust region takes products with the Jacobian by forward mode."""
    network = ModuleNetwork(two_layers, FLAT, 2)
    params = perturbed(network.initialise(Key.from_seed(3)), 2)
    tangents = perturbed({name: torch.zeros_like(value[0]) for name, value in params.items()}, 2)
    rows = torch.randn(2, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    _, found = torch.func.jvp(lambda p: network(p, rows), (params,), (tangents,))
    sides = [network({name: params[name] + sign * 1e-6 * tangents[name] for name in params}, rows) for sign in (1, -1)]
    torch.testing.assert_close(found, (sides[0] - sides[1]) / 2e-6, rtol=1e-6, atol=1e-8)


def test_initial_values_are_those_of_the_key_and_leave_torchs_generator():
    network = ModuleNetwork(two_layers, FLAT, 2)
    before = torch.get_rng_state()
    one, same, other = (network.initialise(Key.from_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["head.weight"], other["head.weight"])
    assert {value.dtype for value in one.values()} == {torch.float64}


def test_constants_are_no_parameters_and_follow_the_type():
    network = ModuleNetwork(Scaled, FLAT, 2)
    theta = network.initialise(Key(0))
    assert list(theta) == ["layer.weight", "layer.bias"]
    params = {name: value[None].float() for name, value in theta.items()}
    assert network(params, torch.zeros(1, 4, 3)).dtype == torch.float32


def test_a_lazy_module_learns_its_sizes():
    network = ModuleNetwork(lambda space, outputs: nn.LazyLinear(outputs), FLAT, 2)
    assert network.initialise(Key.from_seed(1))["weight"].shape == (2, 3)


class Remembers(nn.Module):
    def __init__(self, space, outputs):
        super().__init__()
        self.layer = nn.Linear(space.shape[0], outputs)
        self.register_buffer("calls", torch.zeros(3))

    def forward(self, x):
        self.calls += x[0].detach()
        return self.layer(x)


class Centred(Remembers):
    def forward(self, x):
        return self.layer(x - x.mean(0))


class Branches(Remembers):
    def forward(self, x):
        out = self.layer(x)
        return out if out.sum() > 0 else -out


def raises(space, outputs):
    raise ValueError("no weights\nhere")


REFUSED = [
    (of_parts(nn.BatchNorm1d(6)), "its part '1' is a BatchNorm1d, which mixes episodes .* use LayerNorm or GroupNorm"),
    (of_parts(nn.Dropout(0.5)), "its part '1' is a Dropout, which draws random numbers of its own; leave it out"),
    (of_parts(nn.GRU(6, 6)), "its part '1' is a GRU, which keeps a memory; use 'metarl train rl2'"),
    (lambda space, outputs: nn.Linear(3, 5), r"observations Box\(.*returned shape \(2, 5\); expected shape \(2, 2\)"),
    (lambda space, outputs: nn.Linear(4, 2), r"cannot read two rows of observations Box\(.*RuntimeError: mat1"),
    (lambda space, outputs: lambda x: x, "returned function; expected a torch.nn.Module"),
    (lambda space, outputs: nn.Flatten(), r"returned shape \(2, 3\)"),
    (raises, r"for observations Box\(.*\) it raised ValueError: no weights$"),
    (Remembers, "cannot be stacked over tasks by torch.vmap: RuntimeError"),
    (Branches, "cannot be stacked over tasks by torch.vmap: RuntimeError"),
    (Centred, "depends on the others in the batch or on chance"),
    (of_parts(nn.ParameterList([])), "cannot read"),
]  # fmt: skip


@pytest.mark.parametrize(("factory", "message"), REFUSED)
def test_what_cannot_be_stacked_is_refused_in_one_line(factory, message):
    with pytest.raises(ConfigError, match=rf"--policy.network = mine: .*{message}") as found:
        ModuleNetwork(factory, FLAT, 2, "mine")
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("name", ["log_std", "context", "value"])
def test_names_of_other_parts_of_a_policy_are_refused(name):
    class Collides(nn.Module):
        def __init__(self, space, outputs):
            super().__init__()
            own = nn.Linear(space.shape[0], outputs)
            setattr(self, name, own if name == "value" else nn.Parameter(torch.zeros(outputs)))
            self.rest = own

        def forward(self, x):
            return self.rest(x)

    with pytest.raises(ConfigError, match=f"its parameter '{name}.*rename it"):
        ModuleNetwork(Collides, FLAT, 2, "mine")


def test_a_module_without_parameters_is_refused():
    with pytest.raises(ConfigError, match="no parameters that require a gradient"):
        ModuleNetwork(lambda space, outputs: nn.Flatten(), FLAT, 3, "mine")

import pytest
import torch
from gymnasium import spaces
from torch import nn

from metarl.adaptation.adapter import stack
from metarl.core.prng import Key
from metarl.rl.networks import StackedMLP
from metarl.rl.policies import make_policy


def test_context_is_an_input_like_any_other(family):
    policy = make_policy(family.observation_space, family.action_space, hidden_sizes=(8,), context=2)
    plain = make_policy(spaces.Box(-1, 1, (4,)), family.action_space, hidden_sizes=(8,))
    theta = policy.initialise(Key(1)) | {"context": torch.tensor([0.5, -2.0], dtype=torch.float64)}
    observations = torch.randn(1, 3, 7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    joined = torch.cat([observations, theta["context"].expand(1, 3, 7, 2)], -1)
    expected = plain.act(stack(theta, 1), joined)[0].mean
    torch.testing.assert_close(policy.act(stack(theta, 1), observations)[0].mean, expected)


def perturbed(theta, tasks):
    """Stacked parameters that differ from task to task."""
    generator = torch.Generator().manual_seed(0)
    return {
        k: v + 0.1 * torch.randn(v.shape, generator=generator, dtype=v.dtype) for k, v in stack(theta, tasks).items()
    }


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_stacked_network_is_each_tasks_own_network(activation):
    network = StackedMLP(3, 2, (5, 4), activation)
    params = perturbed(network.initialise(Key.from_seed(1)), 4)
    inputs = torch.randn(4, 6, 7, 3, dtype=torch.float64)
    nonlinearity = {"tanh": nn.Tanh, "relu": nn.ReLU}[activation]
    for task in range(4):
        plain = nn.Sequential(
            nn.Linear(3, 5), nonlinearity(), nn.Linear(5, 4), nonlinearity(), nn.Linear(4, 2)
        ).double()
        names = ["hidden.0", "hidden.1", "head"]
        for layer, name in zip([m for m in plain if isinstance(m, nn.Linear)], names, strict=True):
            layer.weight.data, layer.bias.data = params[f"{name}.weight"][task], params[f"{name}.bias"][task]
        torch.testing.assert_close(network(params, inputs)[task], plain(inputs[task]))

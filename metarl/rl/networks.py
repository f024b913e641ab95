"""Networks with parameters stacked over tasks, so that one call evaluates all tasks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor, nn

from metarl.core.params import CONTEXT, Params, TaskParams
from metarl.core.prng import Key, uniform
from metarl.rl.normalisation import normalise, unseen

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"tanh": torch.tanh, "relu": torch.relu}
ACTIVATION_MODULES: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU}
"""The same activations as modules, for networks of Stable-Baselines3."""


class Network(Protocol):
    """Protocol of a function of stacked parameters and inputs (tasks, ..., inputs) to outputs (tasks, ..., outputs)."""

    def initialise(self, key: Key) -> Params:
        """Draw initial parameters, float64."""
        ...

    def __call__(self, params: TaskParams, inputs: Tensor) -> Tensor: ...


class StackedMLP:
    """Multi-layer perceptron for all tasks at once, by one `torch.baddbmm` per layer.

    Parameters are named `hidden.<i>.weight`, `hidden.<i>.bias`, `head.weight`, `head.bias` and have the shapes of
    `torch.nn.Linear`. Initial weights are Glorot-uniform and biases zero, as in Finn et al. (2017).

    Args:
        inputs: Size of an input.
        outputs: Size of an output.
        hidden_sizes: Units of each hidden layer.
        activation: "tanh" or "relu", after each hidden layer.

    Example:
        >>> network = StackedMLP(2, 1, (8,), "tanh")
        >>> theta = network.initialise(Key.from_seed(1))
        >>> stacked = {name: value.expand(3, *value.shape) for name, value in theta.items()}
        >>> network(stacked, torch.zeros(3, 5, 2, dtype=torch.float64)).shape
        torch.Size([3, 5, 1])
    """

    def __init__(self, inputs: int, outputs: int, hidden_sizes: Sequence[int], activation: str) -> None:
        sizes = [inputs, *hidden_sizes]
        self.layers = [(f"hidden.{i}", *pair) for i, pair in enumerate(pairwise(sizes))]
        self.layers.append(("head", sizes[-1], outputs))
        self.activation = ACTIVATIONS[activation]

    def initialise(self, key: Key) -> Params:
        """Draw Glorot-uniform weights, and biases of zero."""
        params: Params = {}
        for name, fan_in, fan_out in self.layers:
            bound = math.sqrt(6.0 / (fan_in + fan_out))
            draws = uniform(key.at(name).env_seeds(fan_out, fan_in))
            params[f"{name}.weight"] = (2 * draws - 1) * bound
            params[f"{name}.bias"] = torch.zeros(fan_out, dtype=torch.float64)
        return params

    def __call__(self, params: TaskParams, inputs: Tensor) -> Tensor:
        x = inputs.flatten(1, -2)
        for name, _, _ in self.layers:
            x = torch.baddbmm(params[f"{name}.bias"].unsqueeze(1), x, params[f"{name}.weight"].mT)
            if name != "head":
                x = self.activation(x)
        return x.unflatten(1, inputs.shape[1:-1])


class ContextNetwork:
    """A network with context parameters appended to its input (CAVIA, Zintgraf et al. 2019, section 3).

    The parameter is named `context` and starts at zero for every task.

    Args:
        network: A network with `size` further inputs.
        size: Number of context parameters.
    """

    def __init__(self, network: Network, size: int) -> None:
        self.network = network
        self.size = size

    def initialise(self, key: Key) -> Params:
        """Draw the network's parameters, and a context of zero."""
        return self.network.initialise(key) | {CONTEXT: torch.zeros(self.size, dtype=torch.float64)}

    def __call__(self, params: TaskParams, inputs: Tensor) -> Tensor:
        context = params[CONTEXT]
        spread = context.reshape(len(context), *[1] * (inputs.ndim - 2), self.size).expand(*inputs.shape[:-1], -1)
        return self.network(params, torch.cat([inputs, spread], -1))


class NormalisedNetwork:
    """A network with normalised observations as input.

    Args:
        network: The network.
        inputs: Size of an observation.
    """

    def __init__(self, network: Network, inputs: int) -> None:
        self.network = network
        self.inputs = inputs

    def initialise(self, key: Key) -> Params:
        """Draw the network's parameters, with statistics of no observations."""
        return self.network.initialise(key) | unseen(self.inputs)

    def __call__(self, params: TaskParams, inputs: Tensor) -> Tensor:
        return self.network(params, normalise(params, inputs))

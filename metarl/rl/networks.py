"""Networks whose parameters are stacked over tasks, so that one call serves all of them."""

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
"""The same as modules, which Stable-Baselines3 builds its networks of."""


class Network(Protocol):
    """A function of stacked parameters and inputs (tasks, ..., inputs) to outputs (tasks, ..., outputs)."""

    def initialise(self, key: Key) -> Params: ...

    def __call__(self, params: TaskParams, inputs: Tensor) -> Tensor: ...


class StackedMLP:
    """Multi-layer perceptron for all tasks at once, one `torch.baddbmm` a layer.

    Parameters are named `hidden.<i>.weight`, `hidden.<i>.bias`, `head.weight`, `head.bias` and shaped as in
    `torch.nn.Linear`. Weights start Glorot-uniform and biases at zero, as in Finn et al. (2017).
    """

    def __init__(self, inputs: int, outputs: int, hidden_sizes: Sequence[int], activation: str) -> None:
        sizes = [inputs, *hidden_sizes]
        self.layers = [(f"hidden.{i}", *pair) for i, pair in enumerate(pairwise(sizes))]
        self.layers.append(("head", sizes[-1], outputs))
        self.activation = ACTIVATIONS[activation]

    def initialise(self, key: Key) -> Params:
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


class ModuleNetwork:
    """Any torch module that maps (rows, inputs) to (rows, outputs), vectorised over tasks by `torch.vmap`.

    Two to four times slower than `StackedMLP` for the same layers; it is there for modules of your own.
    The module's own initial weights are theta, so seed torch before building it.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def initialise(self, key: Key) -> Params:
        return {name: value.detach().clone().double() for name, value in self.module.named_parameters()}

    def __call__(self, params: TaskParams, inputs: Tensor) -> Tensor:
        own = {name: params[name] for name, _ in self.module.named_parameters()}
        x = inputs.flatten(1, -2)
        out = torch.vmap(lambda p, rows: torch.func.functional_call(self.module, p, (rows,)))(own, x)
        return out.unflatten(1, inputs.shape[1:-1])


class ContextNetwork:
    """A network that reads the task's context parameters beside its input (CAVIA, Zintgraf et al. 2019, section 3).

    `network` takes `size` more inputs. The context is named `context` and starts at zero for every task.
    """

    def __init__(self, network: Network, size: int) -> None:
        self.network = network
        self.size = size

    def initialise(self, key: Key) -> Params:
        return self.network.initialise(key) | {CONTEXT: torch.zeros(self.size, dtype=torch.float64)}

    def __call__(self, params: TaskParams, inputs: Tensor) -> Tensor:
        context = params[CONTEXT]
        spread = context.reshape(len(context), *[1] * (inputs.ndim - 2), self.size).expand(*inputs.shape[:-1], -1)
        return self.network(params, torch.cat([inputs, spread], -1))


class NormalisedNetwork:
    """A network that reads normalised observations."""

    def __init__(self, network: Network, inputs: int) -> None:
        self.network = network
        self.inputs = inputs

    def initialise(self, key: Key) -> Params:
        return self.network.initialise(key) | unseen(self.inputs)

    def __call__(self, params: TaskParams, inputs: Tensor) -> Tensor:
        return self.network(params, normalise(params, inputs))

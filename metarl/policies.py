"""Policies whose parameters are stacked over tasks, so that one call acts for all of them.

`act(params, observations, memory)` takes parameters with a leading `tasks` axis and observations
(tasks, ..., observation); feed-forward policies pass `memory` through untouched.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import torch
from gymnasium import spaces
from jaxtyping import Float
from torch import Tensor, nn

from metarl.errors import Divergence, FamilyError
from metarl.normalisation import normalise, unseen
from metarl.randomness import Key, uniform
from metarl.types import CONTEXT, Params, TaskParams

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"tanh": torch.tanh, "relu": torch.relu}


class Gaussian(NamedTuple):
    """Diagonal normal distribution over actions; both fields have the same shape (tasks, ..., action)."""

    mean: Tensor
    log_std: Tensor

    def sample(self, noise: Float[Tensor, "tasks *rows action"]) -> Tensor:
        return self.mean + self.log_std.exp() * noise

    def mode(self) -> Tensor:
        return self.mean

    def log_prob(self, actions: Tensor) -> Tensor:
        z = (actions - self.mean) * torch.exp(-self.log_std)
        return (-0.5 * (z * z + math.log(2 * math.pi)) - self.log_std).sum(-1)

    def kl_from(self, old: Gaussian) -> Tensor:
        """KL(old || self), summed over action dimensions."""
        ratio = torch.exp(2 * (old.log_std - self.log_std))
        distance = ((old.mean - self.mean) * torch.exp(-self.log_std)).square()
        return (self.log_std - old.log_std + 0.5 * (ratio + distance - 1)).sum(-1)

    def fisher_product(self, tangent: Gaussian) -> Gaussian:
        """Fisher information of (mean, log_std) times a tangent: 1/variance for the mean, 2 for log_std."""
        return Gaussian(tangent.mean * torch.exp(-2 * self.log_std), 2 * tangent.log_std)


class Categorical(NamedTuple):
    """Distribution over discrete actions; logits (tasks, ..., choices)."""

    logits: Tensor

    def sample(self, noise: Float[Tensor, "tasks *rows one"]) -> Tensor:
        """Inversion of the distribution function at uniform noise with a trailing axis of length one."""
        cumulative = torch.softmax(self.logits, -1).cumsum(-1)
        return (noise > cumulative[..., :-1]).sum(-1)

    def mode(self) -> Tensor:
        return self.logits.argmax(-1)

    def log_prob(self, actions: Tensor) -> Tensor:
        log_p = torch.log_softmax(self.logits, -1)
        return log_p.gather(-1, actions.long()[..., None]).squeeze(-1)

    def kl_from(self, old: Categorical) -> Tensor:
        """KL(old || self)."""
        old_log_p, log_p = torch.log_softmax(old.logits, -1), torch.log_softmax(self.logits, -1)
        return (old_log_p.exp() * (old_log_p - log_p)).sum(-1)

    def fisher_product(self, tangent: Categorical) -> Categorical:
        """(diag(p) - p p^T) times a tangent of the logits."""
        p = torch.softmax(self.logits, -1)
        weighted = p * tangent.logits
        return Categorical(weighted - p * weighted.sum(-1, keepdim=True))


Distribution = Gaussian | Categorical


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
            draws = uniform(key.at(name).lane_seeds(fan_out, fan_in))
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


class GaussianPolicy:
    """Normal actions around a network's output, with a log standard deviation that does not depend on the state."""

    noise = "normal"

    def __init__(
        self,
        network: Network,
        actions: int,
        *,
        initial_log_std: float = 0.0,
        min_log_std: float = -13.8,
        max_log_std: float = 4.0,
    ) -> None:
        self.network = network
        self.noise_components = actions
        self.initial_log_std = initial_log_std
        self.min_log_std = min_log_std
        self.max_log_std = max_log_std

    def initialise(self, key: Key) -> Params:
        params = self.network.initialise(key)
        params["log_std"] = torch.full((self.noise_components,), self.initial_log_std, dtype=torch.float64)
        return params

    def check(self, params: TaskParams) -> None:
        """Raise Divergence for the first task whose standard deviation has exploded."""
        over = (params["log_std"] > self.max_log_std).flatten(1).any(1)
        if bool(over.any()):
            task = int(over.nonzero()[0])
            value = float(params["log_std"][task].max())
            message = f"log_std is {value:.3g} at task {task}, above its bound of {self.max_log_std:g}: "
            raise Divergence(message + "the parameters diverged; try a smaller inner lr", task)

    def act(self, params: TaskParams, observations: Tensor, memory: Any = None) -> tuple[Gaussian, Any]:
        mean = self.network(params, observations)
        log_std = params["log_std"].clamp(min=self.min_log_std)
        shape = (log_std.shape[0], *[1] * (mean.ndim - 2), log_std.shape[-1])
        # In memory of its own: what follows is slower by a third on a view whose strides are zero.
        return Gaussian(mean, log_std.reshape(shape).expand_as(mean).contiguous()), memory


class CategoricalPolicy:
    """Softmax over a network's outputs, for discrete actions."""

    noise = "uniform"
    noise_components = 1

    def __init__(self, network: Network) -> None:
        self.network = network

    def initialise(self, key: Key) -> Params:
        return self.network.initialise(key)

    def check(self, params: TaskParams) -> None:
        """Nothing can explode that rollouts do not notice."""

    def act(self, params: TaskParams, observations: Tensor, memory: Any = None) -> tuple[Categorical, Any]:
        return Categorical(self.network(params, observations)), memory


Policy = GaussianPolicy | CategoricalPolicy


def make_policy(
    observation_space: spaces.Space,
    action_space: spaces.Space,
    *,
    hidden_sizes: Sequence[int] = (64, 64),
    activation: str = "tanh",
    initial_log_std: float = 0.0,
    min_log_std: float = -13.8,
    max_log_std: float = 4.0,
    context: int = 0,
    normalise_observations: bool = False,
) -> Policy:
    """The policy that fits a pair of Gymnasium spaces: normal for a flat Box of actions, categorical for Discrete.

    `context` adds that many context parameters, `normalise_observations` the observations' statistics. Observations are
    those of the family's environments, which are flat vectors. Raises FamilyError for others.
    """
    if not (isinstance(observation_space, spaces.Box) and len(observation_space.shape) == 1):
        raise FamilyError(f"observation space {observation_space} is not a flat Box; wrap it in FlattenObservation")
    inputs = observation_space.shape[0]

    def network(outputs: int) -> Network:
        layers = StackedMLP(inputs + context, outputs, hidden_sizes, activation)
        read: Network = ContextNetwork(layers, context) if context else layers
        return NormalisedNetwork(read, inputs) if normalise_observations else read

    if isinstance(action_space, spaces.Discrete):
        return CategoricalPolicy(network(int(action_space.n)))
    if isinstance(action_space, spaces.Box) and len(action_space.shape) == 1:
        actions = action_space.shape[0]
        return GaussianPolicy(
            network(actions),
            actions,
            initial_log_std=initial_log_std,
            min_log_std=min_log_std,
            max_log_std=max_log_std,
        )
    raise FamilyError(f"action space {action_space} is not supported: expected Discrete or a Box of one dimension")

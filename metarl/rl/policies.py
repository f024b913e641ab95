"""Policies with parameters stacked over tasks, so that one call acts for all tasks.

`act(params, observations, memory)` takes parameters with a leading `tasks` axis and observations of shape
(tasks, ..., observation). Feed-forward policies return `memory` unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor
from torch.nn.functional import pad

from metarl.core.errors import ConfigError, Divergence, FamilyError
from metarl.core.params import Params, TaskParams
from metarl.core.prng import Key
from metarl.networks.actions import SUPPORTED, heads_of
from metarl.networks.factory import CNN, MLP, chosen_network, load_factory
from metarl.networks.layout import Layout
from metarl.networks.module import ModuleNetwork
from metarl.networks.spaces import has_bytes, is_flat
from metarl.rl.distributions import ABSENT, Categorical, Gaussian, MultiCategorical
from metarl.rl.networks import ContextNetwork, Network, NormalisedNetwork, StackedMLP


class GaussianPolicy:
    """Normal actions with a network's output as mean, and a log standard deviation that is independent of the state.

    Args:
        network: Computes the mean.
        actions: Size of an action.
        initial_log_std: Initial log standard deviation.
        min_log_std: Lower bound of the log standard deviation; it is clamped.
        max_log_std: Bound above which parameters count as diverged.
    """

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
        """Draw the network's parameters, and add the log standard deviation."""
        params = self.network.initialise(key)
        params["log_std"] = torch.full((self.noise_components,), self.initial_log_std, dtype=torch.float64)
        return params

    def check(self, params: TaskParams) -> None:
        """Raise Divergence for the first task whose log standard deviation exceeds its bound."""
        over = (params["log_std"] > self.max_log_std).flatten(1).any(1)
        if bool(over.any()):
            task = int(over.nonzero()[0])
            value = float(params["log_std"][task].max())
            message = f"log_std is {value:.3g} at task {task}, above its bound of {self.max_log_std:g}: "
            raise Divergence(message + "the parameters diverged; try a smaller inner lr", task)

    def act(self, params: TaskParams, observations: Tensor, memory: Any = None) -> tuple[Gaussian, Any]:
        """Distribution over actions, and the memory unchanged."""
        mean = self.network(params, observations)
        log_std = params["log_std"].clamp(min=self.min_log_std)
        shape = (log_std.shape[0], *[1] * (mean.ndim - 2), log_std.shape[-1])
        # Contiguous, since later operations are a third slower on a view with strides of zero.
        return Gaussian(mean, log_std.reshape(shape).expand_as(mean).contiguous()), memory


class CategoricalPolicy:
    """Softmax over a network's outputs, for discrete actions.

    Args:
        network: Computes the logits.
    """

    noise = "uniform"
    noise_components = 1

    def __init__(self, network: Network) -> None:
        self.network = network

    def initialise(self, key: Key) -> Params:
        """Draw the network's parameters."""
        return self.network.initialise(key)

    def check(self, params: TaskParams) -> None:
        """No-op: rollouts detect logits that are not finite."""

    def act(self, params: TaskParams, observations: Tensor, memory: Any = None) -> tuple[Categorical, Any]:
        """Distribution over actions, and the memory unchanged."""
        return Categorical(self.network(params, observations)), memory


class FactoredPolicy:
    """Several independent choices: a softmax over a share of a network's outputs for each head of an action.

    Args:
        network: Computes the logits of all heads, one after the other.
        heads: Number of choices of each head.
    """

    noise = "uniform"

    def __init__(self, network: Network, heads: Sequence[int]) -> None:
        self.network = network
        self.heads = list(heads)
        self.noise_components = len(self.heads)

    def initialise(self, key: Key) -> Params:
        """Draw the network's parameters."""
        return self.network.initialise(key)

    def check(self, params: TaskParams) -> None:
        """No-op: rollouts detect logits that are not finite."""

    def act(self, params: TaskParams, observations: Tensor, memory: Any = None) -> tuple[MultiCategorical, Any]:
        """Distribution over actions, and the memory unchanged."""
        widest = max(self.heads)
        parts = self.network(params, observations).split(self.heads, -1)
        padded = [pad(part, (0, widest - part.shape[-1]), value=ABSENT) for part in parts]
        return MultiCategorical(torch.stack(padded, -2)), memory


Policy = GaussianPolicy | CategoricalPolicy | FactoredPolicy
"""Policies of this package."""


def module_of(model: Any) -> ModuleNetwork | None:
    """The torch module that a policy reads observations with; None for other models.

    Args:
        model: A policy, or any other model.
    """
    network: Any = getattr(model, "network", None)
    while not isinstance(network, ModuleNetwork) and hasattr(network, "network"):
        network = network.network
    return network if isinstance(network, ModuleNetwork) else None


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
    network: str | None = None,
) -> Policy:
    """Build a policy for a pair of Gymnasium spaces: normal for a flat Box of actions, categorical otherwise.

    Args:
        observation_space: A flat Box; for a network of your own the space of an observation before it is flattened.
        action_space: A flat Box, Discrete, MultiDiscrete, MultiBinary, or a Tuple of discrete parts.
        hidden_sizes: Units of each hidden layer, if the network is shipped.
        activation: "tanh" or "relu".
        initial_log_std: Initial log standard deviation of normal actions.
        min_log_std: Lower bound of the log standard deviation.
        max_log_std: Bound above which parameters count as diverged.
        context: Number of context parameters (CAVIA).
        normalise_observations: Whether observations are normalised by statistics in theta.
        network: "mlp", "cnn", or `module:factory` (default: chosen by the space of observations).

    Raises:
        FamilyError: A space is not supported.
        ConfigError: The network cannot be loaded, or does not fit the spaces.

    Example:
        >>> policy = make_policy(spaces.Box(-1, 1, (2,)), spaces.Discrete(3), hidden_sizes=(8,))
        >>> [(name, tuple(value.shape)) for name, value in policy.initialise(Key.from_seed(1)).items()]
        [('hidden.0.weight', (8, 2)), ('hidden.0.bias', (8,)), ('head.weight', (3, 8)), ('head.bias', (3,))]
    """
    chosen = chosen_network(network, observation_space)
    if chosen == MLP and not is_flat(observation_space):
        raise FamilyError(f"observation space {observation_space} is not a flat Box; wrap it in FlattenObservation")
    inputs = int(spaces.flatdim(observation_space))
    if normalise_observations and chosen != MLP and has_bytes(observation_space):
        raise ConfigError(
            f"--policy.normalise-observations = True; expected false: {chosen} reads bytes scaled to [0, 1] already"
        )

    def network_of(outputs: int) -> Network:
        if chosen == MLP:
            layers = StackedMLP(inputs + context, outputs, hidden_sizes, activation)
            read: Network = ContextNetwork(layers, context) if context else layers
        else:
            factory: Callable[..., Any] = load_factory(chosen)
            if chosen == CNN:
                factory = partial(factory, hidden_sizes=tuple(hidden_sizes), activation=activation)
            read = ModuleNetwork(factory, Layout(observation_space), outputs, chosen)
        return NormalisedNetwork(read, inputs) if normalise_observations else read

    if isinstance(action_space, spaces.Discrete):
        return CategoricalPolicy(network_of(int(action_space.n)))
    if isinstance(action_space, spaces.Box) and len(action_space.shape) == 1:
        actions = action_space.shape[0]
        return GaussianPolicy(
            network_of(actions),
            actions,
            initial_log_std=initial_log_std,
            min_log_std=min_log_std,
            max_log_std=max_log_std,
        )
    heads = heads_of(action_space)
    if heads is not None:
        return FactoredPolicy(network_of(sum(heads)), heads)
    raise FamilyError(f"action space {action_space} is not supported: expected {SUPPORTED}")

"""Policies with parameters stacked over tasks, so that one call acts for all tasks.

`act(params, observations, memory)` takes parameters with a leading `tasks` axis and observations of shape
(tasks, ..., observation). Feed-forward policies return `memory` unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor

from metarl.core.errors import Divergence, FamilyError
from metarl.core.params import Params, TaskParams
from metarl.core.prng import Key
from metarl.rl.distributions import Categorical, Gaussian
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


Policy = GaussianPolicy | CategoricalPolicy
"""Policies of this package."""


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
    """Build a policy for a pair of Gymnasium spaces: normal for a flat Box of actions, categorical for Discrete.

    Args:
        observation_space: A flat Box.
        action_space: A flat Box or Discrete.
        hidden_sizes: Units of each hidden layer.
        activation: "tanh" or "relu".
        initial_log_std: Initial log standard deviation of normal actions.
        min_log_std: Lower bound of the log standard deviation.
        max_log_std: Bound above which parameters count as diverged.
        context: Number of context parameters (CAVIA).
        normalise_observations: Whether observations are normalised by statistics in theta.

    Raises:
        FamilyError: A space is not supported.

    Example:
        >>> policy = make_policy(spaces.Box(-1, 1, (2,)), spaces.Discrete(3), hidden_sizes=(8,))
        >>> [(name, tuple(value.shape)) for name, value in policy.initialise(Key.from_seed(1)).items()]
        [('hidden.0.weight', (8, 2)), ('hidden.0.bias', (8,)), ('head.weight', (3, 8)), ('head.bias', (3,))]
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

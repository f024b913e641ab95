"""Policies with memory: a recurrent layer reads observation, previous action, previous reward, and ends of episodes.

Theta is shared by all tasks: a task differs in its memory alone. Acting keeps the memory of all sub-environments in one
tensor; learning reads whole trials with one call of the recurrent layer (Duan et al. 2016, Wang et al. 2016).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from gymnasium import spaces
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import linear

from metarl.config.memory import MemoryPolicyConfig
from metarl.core.errors import FamilyError
from metarl.core.params import Params, TaskParams
from metarl.core.prng import Key, normal, uniform
from metarl.rl.distributions import Categorical, Distribution, Gaussian
from metarl.rl.networks import ACTIVATIONS
from metarl.rl.normalisation import MEAN, VARIANCE, normalise, unseen
from metarl.rl.policies import GaussianPolicy

GATES = {"gru": 3, "lstm": 4}
"""Products of each unit of a recurrent layer."""

SMALL_HEAD = 0.01
"""Factor of the initial weights of the last layer of the policy: all actions are nearly equally likely at first."""


class History(NamedTuple):
    """What a policy reads at every step: the observation, and what followed the one before."""

    observations: Float[Tensor, "rows steps observation"]
    actions: Float[Tensor, "rows steps action"]
    """The previous action, encoded; zero at the start of a trial, as the entries below."""
    rewards: Float[Tensor, "rows steps"]
    """The previous reward."""
    ends: Float[Tensor, "rows steps"]
    """One where the previous step ended an episode."""

    def map(self, change: Callable[[Tensor], Tensor]) -> History:
        """Apply a function to every tensor."""
        return History._make(map(change, self))


class Judgement(NamedTuple):
    """What a policy with memory thinks of trials."""

    distribution: Distribution
    values: Float[Tensor, "*rows"]
    """Estimates of the discounted sum of the rewards that follow."""
    memory: Tensor
    """Memory after the last step."""


class MemoryPolicy:
    """Normal or categorical actions by a perceptron that reads a recurrent layer.

    With a hypernetwork the perceptron reads the embedded observation alone, and its weights are a linear function of
    the memory (Beck et al. 2023). That function starts constant: its bias has the initial weights of an ordinary
    perceptron, and its matrix is zero, so training starts with a policy that needs no memory (their Bias-HyperInit).

    Args:
        observation_size: Size of an observation.
        action_space: A flat Box or Discrete.
        config: Sizes and kinds of the layers.
    """

    def __init__(self, observation_size: int, action_space: spaces.Space, config: MemoryPolicyConfig) -> None:
        self.config = config
        self.observation_size = observation_size
        self.discrete = isinstance(action_space, spaces.Discrete)
        if isinstance(action_space, spaces.Discrete):
            self.actions = int(action_space.n)
        elif isinstance(action_space, spaces.Box) and len(action_space.shape) == 1:
            self.actions = int(action_space.shape[0])
        else:
            raise FamilyError(f"action space {action_space} is not supported: expected Discrete or a flat Box")
        self.noise = "uniform" if self.discrete else "normal"
        self.noise_components = 1 if self.discrete else self.actions
        self.activation = ACTIVATIONS[config.activation]
        self.parts = {
            "observation": (observation_size, config.observation_embedding),
            "action": (self.actions, config.action_embedding),
            "reward": (1, config.reward_embedding),
        }
        """Inputs of the recurrent layer: size, and units of the embedding or 0."""
        self.read = sum(units or size for size, units in self.parts.values()) + 1
        self.embedded = config.observation_embedding or observation_size

    def initialise(self, key: Key) -> Params:
        """Glorot-uniform weights and biases of zero; the recurrent matrix is orthogonal."""
        config, size = self.config, self.config.memory_size
        params: Params = {}
        for name, (inputs, units) in self.parts.items():
            if units:
                params |= _layer(key, f"embed.{name}", inputs, units)
        gates = GATES[config.memory] * size
        params["recurrent.input"] = _glorot(key, "recurrent.input", self.read, gates)
        square = normal(key.at("recurrent.memory").env_seeds(gates, size)).reshape(-1, size, size)
        params["recurrent.memory"] = torch.linalg.qr(square).Q.reshape(gates, size)
        params |= {f"recurrent.{name}_bias": torch.zeros(gates, dtype=torch.float64) for name in ("input", "memory")}
        params |= self._perceptron(key, self.embedded if config.hypernetwork else size, "", self.actions, SMALL_HEAD)
        params |= self._perceptron(key, size, "value.", 1, 1.0)
        if config.hypernetwork:
            names = self._generated()
            bias = torch.cat([params.pop(name).flatten() for name in names])
            params |= _layer(key, "hyper.latent", size, config.latent_size)
            params["hyper.weight"] = torch.zeros(len(bias), config.latent_size, dtype=torch.float64)
            params["hyper.bias"] = bias
        if not self.discrete:
            params["log_std"] = torch.full((self.actions,), config.initial_log_std, dtype=torch.float64)
        if config.normalise_observations:
            params |= unseen(self.observation_size)
        return params

    def _perceptron(self, key: Key, inputs: int, prefix: str, outputs: int, scale: float) -> Params:
        params: Params = {}
        for number, units in enumerate(self.config.hidden_sizes):
            params |= _layer(key, f"{prefix}hidden.{number}", inputs, units)
            inputs = units
        head = _layer(key, f"{prefix}head", inputs, outputs)
        return params | {name: scale * value for name, value in head.items()}

    def _generated(self) -> list[str]:
        """Names of the parameters that a hypernetwork generates, in the order of its output."""
        layers = [f"hidden.{number}" for number in range(len(self.config.hidden_sizes))] + ["head"]
        return [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]

    def check(self, params: TaskParams) -> None:
        """Raise Divergence for a log standard deviation above its bound."""
        if not self.discrete:
            GaussianPolicy.check(self.config, params)  # type: ignore[arg-type]

    def empty(self, observations: Float[Tensor, "tasks trials observation"]) -> dict[str, Tensor]:
        """The memory at the start of a trial."""
        state = self.config.memory_size * (2 if self.config.memory == "lstm" else 1)
        sizes = {"state": state, "action": self.actions, "reward": 1, "end": 1}
        return {name: observations.new_zeros(*observations.shape[:-1], size) for name, size in sizes.items()}

    def act(
        self, params: TaskParams, observations: Float[Tensor, "tasks trials observation"], memory: Any = None
    ) -> tuple[Distribution, dict[str, Tensor]]:
        """Distribution over actions, and the memory after reading the observations.

        Args:
            params: theta for every task, as equal rows.
            observations: Observations of all sub-environments.
            memory: Memory of all sub-environments; empty by default.
        """
        memory = self.empty(observations) if memory is None else memory
        theta = {name: value[0] for name, value in params.items()}
        embedded, inputs = self._inputs(theta, observations, memory["action"], memory["reward"], memory["end"])
        state = self._next(theta, inputs.flatten(0, 1), memory["state"].flatten(0, 1)).unflatten(0, inputs.shape[:2])
        output = state[..., : self.config.memory_size]
        return self._distribution(theta, embedded, output), memory | {"state": state}

    def remember(self, memory: dict[str, Tensor], action: Tensor, reward: Tensor, end: Tensor) -> dict[str, Tensor]:
        """The memory with what followed the last observation.

        Args:
            memory: The memory after reading the observation.
            action: The actions taken, (tasks, trials) if discrete and (tasks, trials, action) otherwise.
            reward: The rewards, (tasks, trials).
            end: Whether an episode ended, (tasks, trials).
        """
        return memory | {
            "action": self.encoded(action, reward.dtype),
            "reward": reward[..., None],
            "end": end.to(reward.dtype)[..., None],
        }

    def encoded(self, actions: Tensor, dtype: torch.dtype) -> Tensor:
        """Actions as vectors: discrete ones with a one at their place."""
        return torch.nn.functional.one_hot(actions.long(), self.actions).to(dtype) if self.discrete else actions

    def judge(self, theta: Params, history: History, state: Float[Tensor, "rows memory"]) -> Judgement:
        """Distributions and values at every step, by one call of the recurrent layer over the time axis.

        Args:
            theta: The parameters.
            history: What it reads.
            state: Memory before the first step.
        """
        observations, actions, rewards, ends = history
        embedded, inputs = self._inputs(theta, observations, actions, rewards[..., None], ends[..., None])
        weights = [theta[f"recurrent.{name}"] for name in ("input", "memory", "input_bias", "memory_bias")]
        by_time = inputs.transpose(0, 1).contiguous()
        if self.config.memory == "gru":
            outputs, last = torch.gru(by_time, state[None], weights, True, 1, 0.0, False, False, False)
        else:
            halves = [half[None].contiguous() for half in state.chunk(2, -1)]
            outputs, *both = torch.lstm(by_time, halves, weights, True, 1, 0.0, False, False, False)
            last = torch.cat(both, -1)
        outputs = outputs.transpose(0, 1)
        values = self._mlp(theta, "value.", outputs).squeeze(-1)
        return Judgement(self._distribution(theta, embedded, outputs), values, last[0])

    def _inputs(
        self, theta: Params, observations: Tensor, actions: Tensor, rewards: Tensor, ends: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The embedded observation, and the input of the recurrent layer."""
        if MEAN in theta:
            # Statistics are not learned.
            stacked = {name: theta[name].detach()[None] for name in (MEAN, VARIANCE)}
            observations = normalise(stacked, observations.flatten(0, -2)[None])[0].reshape(observations.shape)
        read = {"observation": observations, "action": actions, "reward": rewards}
        for name, (_, units) in self.parts.items():
            if units:
                layer = linear(read[name], theta[f"embed.{name}.weight"], theta[f"embed.{name}.bias"])
                read[name] = self.activation(layer)
        return read["observation"], torch.cat([*read.values(), ends], -1)

    def _next(self, theta: Params, inputs: Float[Tensor, "rows input"], state: Float[Tensor, "rows memory"]) -> Tensor:
        weights = [theta[f"recurrent.{name}"] for name in ("input", "memory", "input_bias", "memory_bias")]
        if self.config.memory == "gru":
            return torch.gru_cell(inputs, state, *weights)
        return torch.cat(torch.lstm_cell(inputs, state.chunk(2, -1), *weights), -1)

    def _mlp(self, theta: Params, prefix: str, x: Tensor) -> Tensor:
        for number in range(len(self.config.hidden_sizes)):
            name = f"{prefix}hidden.{number}"
            x = self.activation(linear(x, theta[f"{name}.weight"], theta[f"{name}.bias"]))
        return linear(x, theta[f"{prefix}head.weight"], theta[f"{prefix}head.bias"])

    def _distribution(self, theta: Params, embedded: Tensor, memory: Tensor) -> Distribution:
        out = (
            self._by_hypernetwork(theta, embedded, memory) if self.config.hypernetwork else self._mlp(theta, "", memory)
        )
        if self.discrete:
            return Categorical(out)
        log_std = theta["log_std"].clamp(min=self.config.min_log_std)
        return Gaussian(out, log_std.expand_as(out).contiguous())

    def _by_hypernetwork(self, theta: Params, embedded: Tensor, memory: Tensor) -> Tensor:
        """The perceptron with weights of its own for every row."""
        latent = self.activation(linear(memory, theta["hyper.latent.weight"], theta["hyper.latent.bias"]))
        weights = linear(latent, theta["hyper.weight"], theta["hyper.bias"]).flatten(0, -2)
        x, start = embedded.reshape(weights.shape[0], 1, -1), 0
        sizes = [*self.config.hidden_sizes, self.actions]
        for number, units in enumerate(sizes):
            end = start + units * x.shape[-1]
            weight, bias = weights[:, start:end].unflatten(1, (units, x.shape[-1])), weights[:, None, end : end + units]
            x, start = torch.baddbmm(bias, x, weight.mT), end + units
            if number < len(sizes) - 1:
                x = self.activation(x)
        return x.reshape(*embedded.shape[:-1], self.actions)


def _layer(key: Key, name: str, inputs: int, outputs: int) -> Params:
    return {
        f"{name}.weight": _glorot(key, name, inputs, outputs),
        f"{name}.bias": torch.zeros(outputs, dtype=torch.float64),
    }


def _glorot(key: Key, name: str, inputs: int, outputs: int) -> Tensor:
    """Glorot-uniform weights (outputs, inputs)."""
    bound = math.sqrt(6.0 / (inputs + outputs))
    return (2 * uniform(key.at(name).env_seeds(outputs, inputs)) - 1) * bound

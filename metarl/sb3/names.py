"""Conversion of parameter names between metarl's policies and Stable-Baselines3's actor-critic policies.

Both policies are multi-layer perceptrons with the same activation after each hidden layer, a linear output, and a log
standard deviation that is independent of the state. Their parameters map one to one; metarl has no value network.
"""

from __future__ import annotations

import re

from metarl.core.errors import ConfigError, RunError
from metarl.core.params import CONTEXT, MEMORY, RATE, Params
from metarl.rl.normalisation import folded

HIDDEN = "mlp_extractor.policy_net"
"""Prefix of the policy's hidden layers in Stable-Baselines3."""

HEAD = "action_net"
"""Prefix of the policy's output layer in Stable-Baselines3."""

VALUE = ("mlp_extractor.value_net.", "value_net.")
"""Prefixes of the value network in Stable-Baselines3."""


def is_actor_critic(params: Params) -> bool:
    """Whether these are parameters of a PPO or A2C policy by the names of Stable-Baselines3."""
    return f"{HEAD}.weight" in params


def to_sb3(params: Params, min_log_std: float = float("-inf")) -> Params:
    """Convert parameters of a metarl policy to the names of Stable-Baselines3, in float32.

    Normalisation of observations and context parameters (CAVIA) are merged into the first layer. The adapter's own
    entries are dropped, and the log standard deviation is clamped as the policy clamps it.

    Args:
        params: The parameters.
        min_log_std: Lower bound of the log standard deviation.

    Raises:
        ConfigError: A parameter has no counterpart.

    Example:
        >>> import torch
        >>> sorted(to_sb3({"head.weight": torch.zeros(1, 2), "head.bias": torch.zeros(1)}))
        ['action_net.bias', 'action_net.weight']
    """
    acting = {name: value for name, value in params.items() if not name.startswith((RATE, MEMORY))}
    params = _without_context(folded(acting))
    named: Params = {}
    for name, value in params.items():
        layer, _, kind = name.rpartition(".")
        if name == "log_std":
            named[name] = value.clamp(min=min_log_std)
        elif layer == "head":
            named[f"{HEAD}.{kind}"] = value
        elif match := re.fullmatch(r"hidden\.(\d+)", layer):
            named[f"{HIDDEN}.{2 * int(match[1])}.{kind}"] = value  # every second module is an activation
        else:
            raise ConfigError(f"parameter {name} has no place in a policy of Stable-Baselines3; expected an MLP's")
    return {name: value.detach().float().clone() for name, value in named.items()}


def _without_context(params: Params) -> Params:
    if CONTEXT not in params:
        return params
    context = params[CONTEXT]
    first = "hidden.0" if "hidden.0.weight" in params else "head"
    weight = params[f"{first}.weight"]
    inputs = weight.shape[1] - len(context)
    folded = {
        f"{first}.weight": weight[:, :inputs],
        f"{first}.bias": params[f"{first}.bias"] + weight[:, inputs:] @ context,
    }
    return {name: folded.get(name, value) for name, value in params.items() if name != CONTEXT}


def from_sb3(params: Params, where: str) -> Params:
    """Convert parameters of a Stable-Baselines3 policy to metarl's names, without the value network.

    Args:
        params: The parameters.
        where: Start of error messages.

    Raises:
        RunError: A parameter has no counterpart.
    """
    named: Params = {}
    for name, value in params.items():
        layer, _, kind = name.rpartition(".")
        if name == "log_std":
            named[name] = value
        elif layer == HEAD:
            named[f"head.{kind}"] = value
        elif match := re.fullmatch(re.escape(HIDDEN) + r"\.(\d+)", layer):
            named[f"hidden.{int(match[1]) // 2}.{kind}"] = value
        elif not name.startswith(VALUE):
            raise RunError(f"{where}: holds {name}; expected an MlpPolicy of PPO or A2C, with nothing before its MLP")
    return named


def critic_names(params: Params) -> list[str]:
    """Names of the parameters that belong only to the critic; the Q-network of DQN also acts and is not included."""
    return [name for name in params if name.startswith((*VALUE, "critic."))]

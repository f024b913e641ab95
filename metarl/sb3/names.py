"""The parameters of a policy under metarl's names and under those of Stable-Baselines3's actor-critic policies.

Both are a multi-layer perceptron with the same activation after each hidden layer, a linear output, and a log standard
deviation that does not depend on the state, so parameters map one to one; there is no counterpart to a value network.
"""

from __future__ import annotations

import re

from metarl.core.errors import ConfigError, RunError
from metarl.core.params import CONTEXT, MEMORY, RATE, Params
from metarl.rl.normalisation import folded

HIDDEN = "mlp_extractor.policy_net"

HEAD = "action_net"

VALUE = ("mlp_extractor.value_net.", "value_net.")


def is_actor_critic(params: Params) -> bool:
    """Whether these are the parameters of a policy of PPO or A2C, under their own names."""
    return f"{HEAD}.weight" in params


def to_sb3(params: Params, min_log_std: float = float("-inf")) -> Params:
    """A policy of metarl's under the names of Stable-Baselines3, in float32.

    The normalisation of observations becomes part of the first layer, and so do context parameters (CAVIA), the same
    at the start of every task; what belongs to the inner rule is left out, and the log standard deviation is the one
    that the policy acts with.
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
            named[f"{HIDDEN}.{2 * int(match[1])}.{kind}"] = value  # every second one is an activation
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
    """The inverse, the value network left out; raises RunError for what metarl's policies lack."""
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
    """Which of a Stable-Baselines3 policy's parameters belong to its critic alone; Q-networks of DQN act as well."""
    return [name for name in params if name.startswith((*VALUE, "critic."))]

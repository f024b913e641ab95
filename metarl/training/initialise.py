"""`--initialise-from`: theta from another run, a saved policy, or a Stable-Baselines3 model."""

from __future__ import annotations

from pathlib import Path

import torch

from metarl.config.run import TrainConfig
from metarl.config.sb3 import Sb3Config
from metarl.core.errors import RunError
from metarl.core.params import CONTEXT, MEMORY, RATE, Params
from metarl.rl.normalisation import MEAN, folded
from metarl.rl.setup import fitted_params
from metarl.runs.checkpoint import load_selected
from metarl.runs.directory import read_config
from metarl.runs.policy_files import read_policy
from metarl.sb3.model_files import read_model
from metarl.sb3.names import VALUE, from_sb3, is_actor_critic, to_sb3

DRAWN = (RATE, MEMORY, CONTEXT, *VALUE)
"""Entries a source may omit because they do not affect actions; they keep their random initialisation."""


def initialised_from(source: str, drawn: Params, config: TrainConfig) -> Params:
    """Replace drawn parameters by those of a source with the same names and shapes.

    Observation statistics are copied, or merged into the first layer if `drawn` has none. An adapter's own entries are
    copied only if both have the same set of them. Reading a source executes no code from it.

    Args:
        source: A run directory (its last checkpoint), a file of `metarl adapt`, or a model.zip of Stable-Baselines3.
        drawn: The initialisation.
        config: The configuration.

    Raises:
        RunError: The source cannot be read, or its parameters or activation do not fit.
    """
    where = f"--initialise-from = {source}"
    given, activation = _read(Path(source), where)
    if activation != config.policy.activation:
        known = activation or "an unknown function"
        raise RunError(f"{where}: its activation is {known}; expected {config.policy.activation} (--policy.activation)")
    if is_actor_critic(given) and "head.weight" in drawn:
        given = from_sb3(given, where)
    elif is_actor_critic(drawn) and "head.weight" in given:
        given = to_sb3(given)
    rescaled = MEAN in given and MEAN not in drawn
    if rescaled and config.policy.network not in (None, "mlp"):
        raise RunError(f"{where}: normalises observations; expected the same here (--policy.normalise-observations)")
    if rescaled:
        given = folded(given)
    if rescaled or _memory(given) != _memory(drawn):
        given = {name: value for name, value in given.items() if not name.startswith(MEMORY)}
    missing = [name for name in drawn if name not in given and not name.startswith(DRAWN)]
    left = [name for name in given if name not in drawn]
    if missing or left:
        names = ", ".join(f"no {name}" for name in missing) or f"{', '.join(left)} in addition"
        raise RunError(f"{where}: has {names}; expected the parameters {', '.join(drawn)}")
    for name, value in given.items():
        if value.shape != drawn[name].shape:
            shapes = f"{tuple(value.shape)}; expected {tuple(drawn[name].shape)}"
            raise RunError(f"{where}: {name} has shape {shapes} (see --policy.hidden-sizes)")
        if not bool(torch.isfinite(value).all()):
            raise RunError(f"{where}: {name} holds values that are not finite")
    return {name: given[name].to(value) if name in given else value for name, value in drawn.items()}


def _memory(params: Params) -> set[str]:
    return {name for name in params if name.startswith(MEMORY)}


def _read(place: Path, where: str) -> tuple[Params, str | None]:
    """Parameters by the names of the program that saved them, and the activation of the network."""
    try:
        if place.is_dir():
            _, config = read_config(place)
            if isinstance(config, Sb3Config):
                return load_selected(place)[0]["theta"], config.policy.activation
        if place.is_dir() or place.suffix == ".safetensors":
            saved = read_policy(place)
            params = fitted_params(saved.config, saved.spaces, saved.params, str(place))
            return params, saved.config.policy.activation
        model = read_model(place)
        return model.params, model.activation
    except RunError as error:
        raise RunError(f"{where}: {str(error).removeprefix(f'{place}: ')}") from None

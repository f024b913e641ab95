"""Initial, loaded and resumed parameters, checked against the model of a configuration."""

from __future__ import annotations

import torch

from metarl.adaptation.adapter import Adapter
from metarl.adaptation.setup import Model
from metarl.core.errors import RunError
from metarl.core.params import Params, State
from metarl.core.prng import Key


def initial_theta(adapter: Adapter, model: Model, seed: int, device: torch.device, dtype: torch.dtype) -> Params:
    """The untrained initialisation: the model's parameters and the adapter's own entries.

    Args:
        adapter: Adds its own entries.
        model: Draws the parameters.
        seed: Seed of the draws.
        device: Device of the result.
        dtype: Floating-point type of the result.
    """
    drawn = model.initialise(Key.from_seed(seed).at("initialisation"))
    return adapter.add_state({name: value.to(device, dtype) for name, value in drawn.items()})


def as_trained(adapter: Adapter, model: Model, loaded: Params, where: str) -> Params:
    """Check loaded parameters against the model, and return them in the model's order.

    Args:
        adapter: Determines further expected entries.
        model: Determines the expected names and shapes.
        loaded: The parameters.
        where: Start of error messages.

    Raises:
        RunError: Names or shapes differ from the model's, or a value is not finite.
    """
    expected = adapter.add_state(model.initialise(Key(0)))
    if set(expected) != set(loaded):
        raise RunError(f"{where}: parameters {sorted(set(expected) ^ set(loaded))} do not fit the model")
    for name, value in expected.items():
        if value.shape != loaded[name].shape:
            shapes = f"{tuple(loaded[name].shape)}; the model has {tuple(value.shape)}"
            raise RunError(f"{where}: {name} has shape {shapes}")
        if not bool(torch.isfinite(loaded[name]).all()):
            raise RunError(f"{where}: {name} holds values that are not finite")
    return {name: loaded[name] for name in expected}


def fitting(loaded: State, expected: State, where: str) -> State:
    """Check a loaded state against an expected one.

    Args:
        loaded: The state, with its own order of entries.
        expected: A state with the expected names, shapes and types; an axis of length 0 may have any length.
        where: Start of error messages.

    Returns:
        The entries of the loaded state that are expected, in the expected order.

    Raises:
        RunError: An entry is missing, has another shape or type, or is not finite.
    """
    for part, params in expected.items():
        found = loaded.get(part, {})
        for name, value in params.items():
            if name not in found or found[name].dtype != value.dtype or not _fits(found[name].shape, value.shape):
                raise RunError(f"{where}: its checkpoint has no {part} {name} of shape {tuple(value.shape)}")
            if not bool(torch.isfinite(found[name]).all()):
                raise RunError(f"{where}: {part} {name} holds values that are not finite")
    return {part: {name: loaded[part][name] for name in params} for part, params in expected.items()}


def _fits(shape: torch.Size, expected: torch.Size) -> bool:
    return len(shape) == len(expected) and all(e in (0, n) for n, e in zip(shape, expected, strict=True))

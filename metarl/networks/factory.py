"""Lookup of networks: shipped ones by name, and factories of your own by `module:factory`. Imports no torch."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any

from gymnasium import spaces

from metarl.core.errors import ConfigError, nearest
from metarl.core.imports import import_attribute, is_file_name, name_in_file
from metarl.networks.spaces import is_image

Factory = Callable[[spaces.Space, int], Any]
"""Builds a torch module for a space of observations and a number of outputs."""

MLP, CNN = "mlp", "cnn"

SHIPPED = (MLP, CNN)
"""Names of the networks that ship."""


def chosen_network(name: str | None, space: spaces.Space) -> str:
    """Name of the network of a policy: the given one, or the default for a space of observations.

    Args:
        name: The configured name, if there is one.
        space: Space of an observation before it is flattened.
    """
    if name is not None:
        return name
    parts = space.values() if isinstance(space, spaces.Dict) else (space,)
    return CNN if any(is_image(part) for part in parts) else MLP


def load_factory(name: str) -> Factory:
    """Load a factory by name.

    A factory is called with the space of observations and the number of outputs, and returns a torch module. It is a
    function that the module defines, or a class of modules.

    Args:
        name: "cnn", or `module:factory`; the module may be in the working directory.

    Raises:
        ConfigError: There is no such factory, or it is none.
    """
    from torch import nn

    if name == CNN:
        from metarl.networks.cnn import Cnn

        return Cnn
    what = f"--policy.network = {name}"
    if ":" not in name:
        raise ConfigError(
            f"{what}; expected {', '.join(SHIPPED)} or your own as module:factory{nearest(name, SHIPPED)}"
        )
    target = import_attribute(name, what, ConfigError)
    # A run directory names its network and may be from an untrusted source, so only functions that the module itself
    # defines are called, as for families, and not functions that it imports.
    module = name.partition(":")[0]
    own = inspect.isfunction(target) and target.__module__ == module
    if module.split(".")[0] in sys.stdlib_module_names or not (
        own or (inspect.isclass(target) and issubclass(target, nn.Module))
    ):
        raise ConfigError(
            f"{what}; expected a function of {module} that returns a torch.nn.Module, or a class of them; "
            f"got {type(target).__name__}"
        )
    return target  # type: ignore[no-any-return]


def network_name(name: str | None) -> str | None:
    """The name that a run records for a network: `path/to/module.py:factory` becomes `module:factory`.

    Args:
        name: The name that was given, if any.

    Raises:
        ConfigError: There is no such file, or it has the name of another module.
    """
    if name is None or not is_file_name(name):
        return name
    return name_in_file(name, f"--policy.network = {name}", ConfigError)


def file_of_network(name: str | None) -> str | None:
    """File of the module of a network that is named `module:factory`; None for shipped ones.

    Args:
        name: Name of the network.
    """
    module, colon, _ = (name or "").partition(":")
    return getattr(sys.modules.get(module), "__file__", None) if colon else None

"""Imports by name: attributes given as `module:attribute`, and packages that import their names on first use."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from metarl.core.errors import MetarlError, nearest


def import_attribute(name: str, what: str, error: type[MetarlError]) -> Any:
    """Import an attribute by name; the module may be in the working directory.

    Args:
        name: `module:attribute`.
        what: Start of error messages, such as "family 'my_module:MyFamily'".
        error: Class of the exception.

    Raises:
        MetarlError: An `error` if the import fails or the module has no such attribute.

    Example:
        >>> import_attribute("math:pi", "number", MetarlError)
        3.141592653589793
    """
    module_name, _, attribute = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except MetarlError:
        raise
    except Exception as reason:
        raise error(f"{what}: importing {module_name} raised {type(reason).__name__}: {reason}") from reason
    if not hasattr(module, attribute):
        names = [n for n in vars(module) if not n.startswith("_")]
        raise error(f"{what}: module {module_name} has no '{attribute}'{nearest(attribute, names)}")
    return getattr(module, attribute)


def lazy_door(
    package: str, homes: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Build `__getattr__`, `__dir__` and `__all__` of a package that imports its names on first use.

    Args:
        package: Name of the package.
        homes: Public names by the module that defines them.

    Example:
        >>> load, listing, names = lazy_door("metarl.core", {"metarl.core.errors": ["ConfigError"]})
        >>> load("ConfigError").__name__, listing(), names
        ('ConfigError', ['ConfigError'], ['ConfigError'])
    """
    home_of = {name: module for module, names in homes.items() for name in names}

    def load(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        return getattr(importlib.import_module(home_of[name]), name)

    return load, lambda: sorted(home_of), list(home_of)

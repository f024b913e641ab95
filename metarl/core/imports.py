"""Imports by name: attributes given as `module:attribute`, and packages that import their names on first use."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
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
    except ModuleNotFoundError as reason:
        if is_module_itself(reason, module_name):
            raise error(f"{what}: no module '{module_name}' in {os.getcwd()} or on Python's path") from reason
        raise error(f"{what}: importing {module_name} raised {type(reason).__name__}: {reason}") from reason
    except Exception as reason:
        raise error(f"{what}: importing {module_name} raised {type(reason).__name__}: {reason}") from reason
    if not hasattr(module, attribute):
        names = [n for n in vars(module) if not n.startswith("_")]
        raise error(f"{what}: module {module_name} has no '{attribute}'{nearest(attribute, names)}")
    return getattr(module, attribute)


def is_module_itself(reason: BaseException | None, module: str) -> bool:
    """Whether an import failed because this very module, or a package of it, is not there, and not one that it imports.

    Args:
        reason: The exception of the import.
        module: Name of the module, with dots.
    """
    missing = getattr(reason, "name", None)
    return isinstance(reason, ModuleNotFoundError) and missing is not None and f"{module}.".startswith(f"{missing}.")


def is_file_name(name: str) -> bool:
    """Whether a name is `path/to/module.py:attribute`, and not `module:attribute`."""
    return name.rpartition(":")[0].endswith(".py")


def name_in_file(name: str, what: str, error: type[MetarlError]) -> str:
    """Make the module of a file importable, and return the name of the attribute as `module:attribute`.

    The folder of the file is appended to Python's path, so that worker processes and modules beside it are found too.

    Args:
        name: `path/to/module.py:attribute`.
        what: Start of error messages.
        error: Class of the exception.

    Raises:
        MetarlError: An `error` if there is no such file, or another module has its name.
    """
    place, _, attribute = name.rpartition(":")
    path = Path(os.path.abspath(place))
    if not path.is_file():
        raise error(f"{what}: there is no file {path}")
    if not path.stem.isidentifier():
        raise error(f"{what}: {path.name} is not the name of a module; expected letters, digits and underscores")
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    importlib.invalidate_caches()
    try:
        spec = importlib.util.find_spec(path.stem)
    except ValueError:  # a module without a place, such as __main__
        spec = None
    there = None if spec is None else spec.origin
    if there is None or not os.path.exists(there) or not path.samefile(there):
        raise error(f"{what}: '{path.stem}' is the name of another module ({there}); rename {path.name}")
    return f"{path.stem}:{attribute}"


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


def after_import(module: str, action: Callable[[], None]) -> None:
    """Call a function when a module has been imported: now if it is, otherwise as soon as somebody imports it.

    Args:
        module: Name of the module.
        action: The function.
    """
    if module in sys.modules:
        action()
    else:
        sys.meta_path.insert(0, _Awaited(module, action))


class _Awaited(MetaPathFinder):
    """Finds one module as others would, and calls a function after its code has run.

    It stays until then, since a module may be looked for and not imported.
    """

    def __init__(self, module: str, action: Callable[[], None]) -> None:
        self._module, self._action = module, action
        self._asks_others = False

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The specification of the awaited module, whose loader calls the function; None for all others."""
        if name != self._module or self._asks_others:
            return None
        self._asks_others = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._asks_others = False
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
                self._action()

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec

"""Lookup of task families: by the entry-point group `metarl.families`, or by `module:attribute`."""

from __future__ import annotations

import inspect
import sys
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from metarl.core.errors import FamilyError, MetarlError, nearest
from metarl.core.imports import import_attribute
from metarl.families.family import TaskFamily
from metarl.families.observe_task import ObserveTask

GROUP = "metarl.families"


def registered() -> dict[str, EntryPoint]:
    """Entry points of all families that installed packages declare, by name."""
    return {entry.name: entry for entry in sorted(entry_points(group=GROUP), key=lambda e: e.name)}


def load_family(name: str, variant: str | None = None, *, observe_task: bool = False) -> TaskFamily:
    """Load a family by name.

    A name denotes a TaskFamily, a subclass of it, or a function that returns one. Classes and functions receive the
    variant if they have a parameter `variant`.

    Args:
        name: A registered name, `registered:variant`, or `module:attribute`, also of a module in the working directory.
        variant: Variant of the family (default: its first).
        observe_task: Whether the task is appended to observations (the oracle baseline).

    Raises:
        FamilyError: The family or variant does not exist or cannot be loaded.

    Example:
        >>> load_family("navigation2d", "wide").variant
        'wide'
    """
    name, named = split_name(name)
    if named is not None and variant not in (None, named):
        raise FamilyError(f"family '{name}:{named}' names its variant; got --variant {variant} as well")
    variant = variant or named
    target = _load(name)
    if isinstance(target, TaskFamily):
        family = target
        if variant is not None and variant != family.variant:
            raise FamilyError(f"family '{name}' has no variants; got --variant {variant}")
    elif callable(target):
        takes_variant = "variant" in inspect.signature(target).parameters
        if variant is not None and not takes_variant:
            raise FamilyError(f"family '{name}' has no variants; got --variant {variant}")
        try:
            family = target(variant=variant) if variant is not None else target()
        except MetarlError:
            raise
        except Exception as error:
            raise FamilyError(f"family '{name}': {type(error).__name__}: {error}") from error
        if not isinstance(family, TaskFamily):
            raise FamilyError(f"family '{name}': expected a TaskFamily; got {type(family).__name__}")
    else:
        raise FamilyError(
            f"family '{name}': expected a TaskFamily or a function that returns one; got {type(target).__name__}"
        )
    return ObserveTask(family) if observe_task else family


def family_variants(name: str) -> tuple[str, ...]:
    """Names of a family's variants, the default first; empty for a family without variants.

    Example:
        >>> family_variants("navigation2d")
        ('finn17', 'raw-action', 'wide')
    """
    name, named = split_name(name)
    return (named,) if named is not None else tuple(getattr(_load(name), "variants", ()))


def split_name(name: str) -> tuple[str, str | None]:
    """Split `registered:variant` into name and variant; other names are returned whole, with None."""
    head, colon, tail = name.partition(":")
    return (head, tail) if colon and head in registered() else (name, None)


def _load(name: str) -> Any:
    if ":" in name:
        module_name = name.partition(":")[0]
        target = import_attribute(name, f"family '{name}'", FamilyError)
        # A run directory names its family and may be from an untrusted source. Therefore only families, and functions
        # that the module itself defines, are called, not functions that it imports.
        library = module_name.split(".")[0] in sys.stdlib_module_names
        own = inspect.isfunction(target) and target.__module__ == module_name and not library
        if not (own or isinstance(target, TaskFamily) or (inspect.isclass(target) and issubclass(target, TaskFamily))):
            raise FamilyError(
                f"family '{name}': expected a TaskFamily, or a function of {module_name} that returns one; "
                f"got {type(target).__name__}"
            )
        return target
    found = registered()
    if name not in found:
        raise FamilyError(f"unknown family '{name}'{nearest(name, found)}; your own is named module:attribute")
    try:
        return found[name].load()
    except Exception as error:
        raise FamilyError(f"family '{name}': {type(error).__name__}: {error}") from error

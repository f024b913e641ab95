"""Lookup of task families: by the entry-point group `metarl.families`, by `module:attribute`, or handed over."""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from metarl.core.errors import FamilyError, MetarlError, nearest
from metarl.core.imports import import_attribute, is_file_name, name_in_file
from metarl.families.family import TaskFamily
from metarl.families.ids.installed import registered
from metarl.families.observe_task import ObserveTask

_FOUND_AS = "_metarl_found_as"
"""Attribute of a family with the name that it was loaded by."""

_handed: dict[str, TaskFamily] = {}
"""Families that callers hand over as objects, by the names under which `load_family` finds them meanwhile."""


def load_family(name: str | TaskFamily, variant: str | None = None, *, observe_task: bool = False) -> TaskFamily:
    """Load a family by name; a family itself is returned as it is.

    A name denotes a TaskFamily, a subclass of it, or a function that returns one. Classes and functions receive the
    variant if they have a parameter `variant`.

    Args:
        name: A registered name, `registered:variant`, `module:attribute`, also of a module in the working directory,
            or `path/to/module.py:attribute`.
        variant: Variant of the family (default: its first).
        observe_task: Whether the task is appended to observations (the oracle baseline).

    Raises:
        FamilyError: The family or variant does not exist or cannot be loaded.

    Example:
        >>> load_family("navigation2d", "wide").variant
        'wide'
    """
    if isinstance(name, TaskFamily):
        with handed_over(name) as held:
            return load_family(held, variant, observe_task=observe_task)
    if not isinstance(variant, str | None):
        raise FamilyError(f"--variant {variant!r:.80}; expected the name of a variant")
    name, named = split_name(family_name(name))
    if named is not None and variant not in (None, named):
        raise FamilyError(f"family '{name}:{named}' names its variant; got --variant {variant} as well")
    variant = variant or named
    target = _load(name)
    if isinstance(target, TaskFamily):
        family = target
        if variant is not None and variant != family.variant:
            known = "has no variants" if family.variant is None else f"has the variant {family.variant}"
            raise FamilyError(f"family '{name}' {known}; got --variant {variant}")
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
    with contextlib.suppress(TypeError):  # an object without attributes of its own
        if name not in _handed:
            vars(family).setdefault(_FOUND_AS, name)
    return ObserveTask(family) if observe_task else family


def family_name(family: str | TaskFamily) -> str:
    """The name that a run records for a family, so that it is found again.

    Args:
        family: A name, or a family. `path/to/module.py:attribute` becomes `module:attribute`.

    Returns:
        The name; `<name>` for a family that is in no module's public names and has not been loaded by name.

    Raises:
        FamilyError: It is neither, or the file does not exist or has the name of another module.

    Example:
        >>> family_name(load_family("navigation2d", "wide"))
        'navigation2d'
    """
    if isinstance(family, str):
        return name_in_file(family, f"family '{family}'", FamilyError) if is_file_name(family) else family
    if not isinstance(family, TaskFamily):
        raise FamilyError(f"family = {family!r:.80}; expected a name or a TaskFamily, as declare_family returns")
    found = getattr(family, _FOUND_AS, None) or _place_of(family)
    return found or f"<{family.name}>"


def has_no_name(name: str) -> bool:
    """Whether a name is one that `family_name` gave to a family that only its object leads to."""
    return name.startswith("<")


def _place_of(family: TaskFamily) -> str | None:
    """The family as `module:attribute`; None if it is a public name of no module but the program that runs."""
    found: dict[str, str] = {}
    for name, module in list(sys.modules.items()):
        if name in ("__main__", "__mp_main__"):
            continue  # loading it again would run the program again
        for attribute, value in list(getattr(module, "__dict__", {}).items()):
            if value is family and not attribute.startswith("_"):
                found.setdefault(name, f"{name}:{attribute}")
    # Other modules may have imported it from the one that declares it.
    home = getattr(family, "declared_in", type(family).__module__)
    return found.get(home) or next(iter(found.values()), None)


@contextmanager
def handed_over(family: str | TaskFamily) -> Iterator[str]:
    """Yield the name of a family; inside the block `load_family` finds this very object by it.

    Args:
        family: A name or a family.

    Example:
        >>> from metarl.families import declare_family
        >>> from gymnasium.spaces import Box, Dict
        >>> family = declare_family("Pendulum-v1", Dict({"g": Box(5.0, 15.0, ())}), name="swings")
        >>> with handed_over(family) as name:
        ...     name, load_family(name) is family
        ('<swings>', True)
    """
    name = family_name(family)
    if isinstance(family, str):
        yield name
        return
    before = _handed.get(name)
    _handed[name] = family
    try:
        yield name
    finally:
        if before is None:
            del _handed[name]
        else:
            _handed[name] = before


def file_of_family(name: str) -> str | None:
    """File of the module of a family that is named `module:attribute`; None for other names, and before it is imported.

    Args:
        name: Name of the family.
    """
    module, colon, _ = name.partition(":")
    return getattr(sys.modules.get(module), "__file__", None) if colon and split_name(name)[1] is None else None


def family_variants(name: str) -> tuple[str, ...]:
    """Names of a family's variants, the default first; empty for a family without variants.

    Example:
        >>> family_variants("navigation2d")
        ('finn17', 'raw-action', 'wide')
    """
    name, named = split_name(family_name(name))
    return (named,) if named is not None else tuple(getattr(_load(name), "variants", ()))


def split_name(name: str) -> tuple[str, str | None]:
    """Split `registered:variant` into name and variant; other names are returned whole, with None."""
    head, colon, tail = name.partition(":")
    return (head, tail) if colon and head in registered() else (name, None)


def _load(name: str) -> Any:
    if name in _handed:
        return _handed[name]
    if has_no_name(name):
        raise FamilyError(
            f"family '{name}' was handed over as an object that no module has; hand it over again (family=... in "
            "Python), or give --family module:attribute"
        )
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

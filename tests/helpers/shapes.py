"""Checks of shapes and dtypes of arrays in annotations, at every call, by jaxtyping's import hook.

Other annotations are left to mypy: some name protocols, which cannot be checked at run time, or names that are known to
type checkers alone.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing

import jaxtyping
from beartype import beartype
from jaxtyping import AbstractArray

jaxtyped = jaxtyping.jaxtyped
"""jaxtyping's own decorator, which the hook below replaces."""


def install(packages):
    """Check the shapes of these packages' functions.

    jaxtyping's hook decorates every function, also the majority that name no array, where it costs a third of the
    tests' time. The hook looks its decorator up by name, so it finds this one.
    """
    jaxtyping.jaxtyped = check
    jaxtyping.install_import_hook(packages, "beartype.beartype")


def has_shape(annotation):
    """Whether an annotation is of an array with a shape, alone or among alternatives.

    Containers of arrays are left out: beartype checks one of their items at random, by Python's global generator.
    """
    if isinstance(annotation, type) and issubclass(annotation, AbstractArray):
        return True
    alternatives = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    return alternatives and any(has_shape(part) for part in typing.get_args(annotation))


_known = {}
"""Shapes by code: a function within a function is made anew at every call."""


def shapes_of(function):
    """Annotations of a function that have a shape, evaluated; those that cannot be evaluated are left out."""
    if function.__code__ in _known:
        return _known[function.__code__]
    kept = _known[function.__code__] = {}
    for name, annotation in getattr(function, "__annotations__", {}).items():
        one = types.SimpleNamespace(__annotations__={name: annotation})
        try:
            (found,) = typing.get_type_hints(one, globalns=function.__globals__).values()
        except NameError:
            continue
        if has_shape(found):
            kept[name] = found
    return kept


def check(function=None, *, typechecker=None):
    """The function with its arguments and its result checked against their shapes, or itself where it names none."""
    if function is None:
        return functools.partial(check, typechecker=typechecker)
    if dataclasses.is_dataclass(function):
        function.__init__ = check(function.__init__)
    if not isinstance(function, types.FunctionType):
        return function
    shapes = shapes_of(function)
    if not shapes:
        return function
    bare = types.FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    bare.__kwdefaults__, bare.__qualname__, bare.__module__ = (
        function.__kwdefaults__, function.__qualname__, function.__module__,
    )  # fmt: skip
    bare.__annotations__ = shapes
    return functools.wraps(function)(jaxtyped(bare, typechecker=beartype))

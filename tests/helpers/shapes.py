"""The type checker of jaxtyping's import hook: shapes and dtypes of arrays in annotations, at every call.

Other annotations are left to mypy: some name protocols, which cannot be checked at run time, or names that are known to
type checkers alone.
"""

from __future__ import annotations

import functools
import types
import typing

from beartype import beartype
from jaxtyping import AbstractArray


def has_shape(annotation):
    """Whether an annotation is of an array with a shape, alone or among alternatives.

    Containers of arrays are left out: beartype checks one of their items at random, by Python's global generator.
    """
    if isinstance(annotation, type) and issubclass(annotation, AbstractArray):
        return True
    alternatives = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    return alternatives and any(has_shape(part) for part in typing.get_args(annotation))


def shapes_of(function):
    """Annotations of a function that have a shape, evaluated; those that cannot be evaluated are left out."""
    kept = {}
    for name, annotation in getattr(function, "__annotations__", {}).items():
        one = types.SimpleNamespace(__annotations__={name: annotation})
        try:
            (found,) = typing.get_type_hints(one, globalns=function.__globals__).values()
        except NameError:
            continue
        if has_shape(found):
            kept[name] = found
    return kept


def check(function):
    """The function with its arguments and its result checked against their shapes."""
    shapes = shapes_of(function) if isinstance(function, types.FunctionType) else {}
    if not shapes:
        return function
    bare = types.FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    bare.__kwdefaults__, bare.__qualname__, bare.__module__ = (
        function.__kwdefaults__, function.__qualname__, function.__module__,
    )  # fmt: skip
    bare.__annotations__ = shapes
    return functools.wraps(function)(beartype(bare))

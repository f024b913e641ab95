"""Actions of several independent choices: MultiDiscrete, MultiBinary, and Tuples of discrete parts. Imports no torch.

A policy chooses one number for each head, counted from zero. A MultiBinary has a head of two choices for each bit; the
heads of a Tuple are those of its parts, in order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from jaxtyping import Int

from metarl.core.errors import FamilyError

Parts = (spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)

SUPPORTED = "Discrete, MultiDiscrete, MultiBinary, a Tuple of these, or a flat Box"
"""Action spaces that policies have distributions for."""


def heads_of(space: spaces.Space) -> list[int] | None:
    """Number of choices of each head; None for a space that is not one of several choices.

    Args:
        space: An action space.

    Example:
        >>> heads_of(spaces.MultiDiscrete([3, 2])), heads_of(spaces.MultiBinary(3)), heads_of(spaces.Discrete(3))
        ([3, 2], [2, 2, 2], None)
        >>> heads_of(spaces.Tuple([spaces.Discrete(4), spaces.MultiBinary(1)]))
        [4, 2]
    """
    if isinstance(space, spaces.Tuple):
        if not space.spaces or not all(isinstance(part, Parts) for part in space):
            return None
        return [choices for part in space for choices in _choices(part)]
    return None if isinstance(space, spaces.Discrete) or not isinstance(space, Parts) else _choices(space)


def is_supported(space: spaces.Space) -> bool:
    """Whether policies have a distribution for an action space."""
    flat = isinstance(space, spaces.Box) and len(space.shape) == 1
    return flat or isinstance(space, spaces.Discrete) or heads_of(space) is not None


def _choices(space: spaces.Space) -> list[int]:
    if isinstance(space, spaces.Discrete):
        return [int(space.n)]
    if isinstance(space, spaces.MultiBinary):
        return [2] * int(np.prod(space.shape))
    assert isinstance(space, spaces.MultiDiscrete)
    return [int(n) for n in space.nvec.flatten()]


def starts_of(space: spaces.Space) -> list[int]:
    """The first value of each head in the action space.

    Args:
        space: A space of several choices.

    Example:
        >>> starts_of(spaces.Tuple([spaces.Discrete(4, start=1), spaces.MultiBinary(2)]))
        [1, 0, 0]
    """
    if isinstance(space, spaces.Tuple):
        return [start for part in space for start in starts_of(part)]
    if isinstance(space, spaces.Discrete):
        return [int(space.start)]
    if isinstance(space, spaces.MultiDiscrete):
        return [int(start) for start in space.start.flatten()]
    return [0] * len(_choices(space))


def in_space(chosen: Int[np.ndarray, "rows heads"], space: spaces.Space) -> Any:
    """Choices of all heads as a batch of actions, in the form that gymnasium's vector environments take.

    Args:
        chosen: The choices, counted from zero.
        space: A space of several choices.

    Example:
        >>> in_space(np.array([[1, 0, 1]]), spaces.Tuple([spaces.Discrete(4), spaces.MultiBinary(2)]))
        (array([1]), array([[0, 1]], dtype=int8))
    """
    rows, start, parts = chosen + np.array(starts_of(space)), 0, []
    for part in space if isinstance(space, spaces.Tuple) else (space,):
        end = start + len(_choices(part))
        shape = (len(rows), *(part.shape or ()))
        parts.append(rows[:, start:end].reshape(shape).astype(part.dtype))
        start = end
    return tuple(parts) if isinstance(space, spaces.Tuple) else parts[0]


def one_in_space(chosen: Int[np.ndarray, " heads"], space: spaces.Space) -> Any:
    """Choices of all heads as one action.

    Args:
        chosen: The choices, counted from zero.
        space: A space of several choices.

    Example:
        >>> one_in_space(np.array([1, 0]), spaces.MultiDiscrete([3, 2], start=[5, 0])).tolist()
        [6, 0]
    """
    batch = in_space(chosen[None], space)
    return tuple(part[0] for part in batch) if isinstance(space, spaces.Tuple) else batch[0]


def in_rows(actions: Any, first: int, end: int) -> Any:
    """A part of a batch of actions.

    Args:
        actions: An array, or a tuple of arrays for a Tuple.
        first: The first row.
        end: The row after the last.
    """
    return tuple(part[first:end] for part in actions) if isinstance(actions, tuple) else actions[first:end]


def described_choices(space: spaces.Space) -> dict[str, Any]:
    """A space of several choices as JSON.

    Args:
        space: The space.

    Example:
        >>> described_choices(spaces.Tuple([spaces.Discrete(4), spaces.MultiBinary(2)]))
        {'tuple': [{'discrete': 4, 'start': 0}, {'binary': [2]}]}
    """
    if isinstance(space, spaces.Tuple):
        return {"tuple": [described_choices(part) for part in space]}
    if isinstance(space, spaces.Discrete):
        return {"discrete": int(space.n), "start": int(space.start)}
    if isinstance(space, spaces.MultiBinary):
        return {"binary": list(space.shape)}
    if isinstance(space, spaces.MultiDiscrete):
        return {"choices": space.nvec.tolist(), "start": space.start.tolist()}
    raise FamilyError(f"action space {space} is not supported: expected {SUPPORTED}")


def choices_from(description: dict[str, Any]) -> spaces.Space:
    """The space of a description; the inverse of `described_choices`.

    Example:
        >>> choices_from({"choices": [3, 2], "start": [0, 1]})
        MultiDiscrete([3 2], start=[0 1])
    """
    if "tuple" in description:
        return spaces.Tuple([choices_from(part) for part in description["tuple"]])
    if "discrete" in description:
        return spaces.Discrete(description["discrete"], start=description["start"])
    if "binary" in description:
        shape = description["binary"]
        return spaces.MultiBinary(shape[0] if len(shape) == 1 else tuple(shape))
    return spaces.MultiDiscrete(np.array(description["choices"]), start=np.array(description["start"]))

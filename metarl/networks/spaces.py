"""Spaces of observations as networks read them, and their descriptions as JSON. Imports no torch."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from metarl.core.errors import FamilyError


def is_flat(space: spaces.Space) -> bool:
    """Whether observations are vectors.

    Example:
        >>> is_flat(spaces.Box(-1, 1, (2,))), is_flat(spaces.Box(-1, 1, (2, 3)))
        (True, False)
    """
    return isinstance(space, spaces.Box) and len(space.shape) == 1


def is_image(space: spaces.Space) -> bool:
    """Whether observations are images: uint8, as (height, width, channels) or (height, width).

    Example:
        >>> is_image(spaces.Box(0, 255, (64, 64, 3), np.uint8)), is_image(spaces.Box(0, 1, (64, 64, 3)))
        (True, False)
    """
    return isinstance(space, spaces.Box) and space.dtype == np.uint8 and len(space.shape) in (2, 3)


def has_bytes(space: spaces.Space) -> bool:
    """Whether any part of an observation is an array of bytes, which networks read scaled to [0, 1]."""
    if isinstance(space, spaces.Dict):
        return any(has_bytes(part) for part in space.values())
    return isinstance(space, spaces.Box) and space.dtype == np.uint8


def described(space: spaces.Space) -> dict[str, Any]:
    """A space of observations as JSON, without bounds.

    Args:
        space: A Box, Discrete, MultiDiscrete or MultiBinary, or a Dict of these.

    Raises:
        FamilyError: It is another space.

    Example:
        >>> described(spaces.Dict({"image": spaces.Box(0, 255, (7, 7, 3), np.uint8), "direction": spaces.Discrete(4)}))
        {'dict': {'direction': {'discrete': 4}, 'image': {'shape': [7, 7, 3], 'bytes': True}}}
    """
    if isinstance(space, spaces.Box):
        return {"shape": list(space.shape), "bytes": space.dtype == np.uint8}
    if isinstance(space, spaces.Discrete):
        return {"discrete": int(space.n)}
    if isinstance(space, spaces.MultiDiscrete):
        return {"choices": space.nvec.tolist()}
    if isinstance(space, spaces.MultiBinary):
        return {"binary": list(space.shape)}
    if isinstance(space, spaces.Dict):
        return {"dict": {str(name): described(part) for name, part in space.items()}}
    raise FamilyError(
        f"observation space {space} cannot be read by a network: expected a Box, Discrete, MultiDiscrete or "
        "MultiBinary, or a Dict of these"
    )


def from_description(description: dict[str, Any]) -> spaces.Space:
    """The space of a description, with wide bounds; the inverse of `described`.

    Example:
        >>> from_description({"shape": [2, 2], "bytes": True})
        Box(0, 255, (2, 2), uint8)
    """
    if "dict" in description:
        return spaces.Dict({name: from_description(part) for name, part in description["dict"].items()})
    if "discrete" in description:
        return spaces.Discrete(description["discrete"])
    if "choices" in description:
        return spaces.MultiDiscrete(np.array(description["choices"]))
    if "binary" in description:
        return spaces.MultiBinary(description["binary"])
    shape = tuple(description["shape"])
    if description["bytes"]:
        return spaces.Box(0, 255, shape, np.uint8)
    return spaces.Box(-np.inf, np.inf, shape, np.float32)

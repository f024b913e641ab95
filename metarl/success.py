"""What a step's `info` says of success, as Meta-World and gymnasium's robots have it. Workers load it, so no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

NAMES = ("success", "is_success")

Flags = Bool[np.ndarray, " lanes"]


def successes_in(info: Mapping[str, Any], lanes: int) -> Flags | None:
    """Which lanes of a vector environment a step's info calls successful; None where it says nothing of any.

    A lane whose own info says nothing has not succeeded. Raises ValueError for anything but a value a lane.
    """
    for name in NAMES:
        if name in info:
            found = np.asarray(info[name])
            if found.shape[:1] != (lanes,) or found.size != lanes:
                raise ValueError(f"info['{name}'] has shape {found.shape}; expected ({lanes},)")
            return found.reshape(lanes).astype(bool)
    return None


def joined_successes(parts: Sequence[Flags | None], sizes: Sequence[int]) -> Flags | None:
    """The lanes of several environments one after another; None where none of them says anything."""
    if all(part is None for part in parts):
        return None
    filled = [np.zeros(n, bool) if part is None else part for part, n in zip(parts, sizes, strict=True)]
    return np.concatenate(filled)

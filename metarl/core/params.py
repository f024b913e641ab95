"""Named tensors: the parameters of one initialisation, of every task's copy, and of an algorithm's state.

Axis names everywhere: `tasks` the meta-batch, `episodes` the episodes of one task, `steps` time within an episode.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import torch
from torch import Tensor

Params: TypeAlias = dict[str, Tensor]
"""Named parameters of one initialisation (theta): each tensor has the parameter's own shape."""

TaskParams: TypeAlias = dict[str, Tensor]
"""Named parameters of every task's own copy: each tensor has a leading `tasks` axis."""

State: TypeAlias = dict[str, Params]
"""What an algorithm carries from one iteration to the next: `theta`, and an optimiser's moments if it has one."""

CONTEXT = "context"
"""Name of the context parameters (CAVIA) among a policy's parameters."""

STATISTICS = "observation_statistics."
"""Prefix of the observations' statistics among a policy's parameters, which are not learned."""

MEMORY = "inner_memory."
"""Prefix, among the parameters, of what an inner rule remembers from one iteration to the next; nothing learns it."""

RATE = "inner_lr."
"""Prefix of learned inner learning rates among the parameters."""


def tree_where(mask: Tensor, new: Any, old: Any) -> Any:
    """The new values where the mask is True, else the old ones, of tensors or dictionaries and tuples of them.

    Args:
        mask: Booleans, whose axes are the leading ones of every tensor.
        new: A tensor, or a dictionary or tuple of tensors.
        old: The same of the same shapes.
    """
    if isinstance(new, dict):
        return {name: tree_where(mask, new[name], old[name]) for name in new}
    if isinstance(new, tuple):
        return tuple(tree_where(mask, *pair) for pair in zip(new, old, strict=True))
    return torch.where(mask.reshape(*mask.shape, *[1] * (new.ndim - mask.ndim)), new, old)

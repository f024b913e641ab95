"""Named tensors: parameters of one initialisation, parameters of every task, and the state of an algorithm.

Axis names in all annotations: `tasks` is the meta-batch, `episodes` the episodes of one task, `steps` time within an
episode.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import torch
from torch import Tensor

Params: TypeAlias = dict[str, Tensor]
"""Named parameters of one initialisation (theta); each tensor has the parameter's own shape."""

TaskParams: TypeAlias = dict[str, Tensor]
"""Named parameters of all tasks; each tensor has a leading `tasks` axis."""

State: TypeAlias = dict[str, Params]
"""State of an algorithm between iterations: `theta`, and the moments of an optimiser if it has one."""

CONTEXT = "context"
"""Name of the context parameters (CAVIA) in theta."""

STATISTICS = "observation_statistics."
"""Prefix of the observation statistics in theta; they are not learned."""

MEMORY = "inner_memory."
"""Prefix of the adapter's own entries in theta, kept from iteration to iteration; they are not learned."""

RATE = "inner_lr."
"""Prefix of learned inner learning rates in theta."""


def tree_where(mask: Tensor, new: Any, old: Any) -> Any:
    """`torch.where` over nested dictionaries and tuples of tensors.

    Args:
        mask: Booleans; their axes are the leading axes of every tensor.
        new: Values where the mask is True: a tensor, or a dictionary or tuple of tensors.
        old: Values elsewhere, of the same structure and shapes.

    Example:
        >>> tree_where(torch.tensor([True, False]), {"x": torch.ones(2)}, {"x": torch.zeros(2)})
        {'x': tensor([1., 0.])}
    """
    if isinstance(new, dict):
        return {name: tree_where(mask, new[name], old[name]) for name in new}
    if isinstance(new, tuple):
        return tuple(tree_where(mask, *pair) for pair in zip(new, old, strict=True))
    return torch.where(mask.reshape(*mask.shape, *[1] * (new.ndim - mask.ndim)), new, old)

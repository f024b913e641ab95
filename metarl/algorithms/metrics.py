"""Metrics of an iteration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from metarl.core.params import Params
from metarl.core.seed_axis import flat, seeds_axis
from metarl.core.timing import Phases

Metrics = dict[str, Any]
"""Metrics by name: numbers, tensors, and nested lists and dictionaries of them."""


def norm(gradient: Params) -> Float[Tensor, "*seeds"]:
    """Euclidean norm of a gradient over all parameters.

    Example:
        >>> norm({"a": torch.tensor([3.0]), "b": torch.tensor([4.0])})
        tensor(5.)
    """
    return torch.sqrt(sum((flat(g.square()).sum(-1) for g in gradient.values()), torch.zeros(())))


def to_metrics(values: Metrics, phase: Phases) -> Metrics:
    """Add the seconds of each phase, and the bytes sent to other ranks, to the metrics of an iteration.

    Tensors become numbers. With a seed axis they stay tensors with one entry per seed.

    Args:
        values: Metrics by name.
        phase: Clock of the iteration.
    """
    seconds = {name: round(seconds, 6) for name, seconds in phase.seconds.items()}
    bytes_sent = {"exchanged_bytes": phase.bytes_sent} if any(phase.bytes_sent.values()) else {}
    numbers = values if seeds_axis() else tree_map(values, Tensor.tolist)
    return {**numbers, "seconds": seconds, **bytes_sent}


def tree_map(value: Any, change: Callable[[Tensor], Any]) -> Any:
    """Apply a function to every tensor of nested dictionaries and lists.

    Args:
        value: The nested metrics.
        change: The function.

    Example:
        >>> tree_map({"return": [torch.tensor(1.0), None]}, Tensor.tolist)
        {'return': [1.0, None]}
    """
    if isinstance(value, dict):
        return {name: tree_map(entry, change) for name, entry in value.items()}
    if isinstance(value, list):
        return [tree_map(entry, change) for entry in value]
    return change(value) if isinstance(value, Tensor) else value

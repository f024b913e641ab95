"""What an outer update reports of an iteration."""

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


def norm(gradient: Params) -> Float[Tensor, "*seeds"]:
    return torch.sqrt(sum((flat(g.square()).sum(-1) for g in gradient.values()), torch.zeros(())))


def to_metrics(values: Metrics, phase: Phases) -> Metrics:
    """Metrics of an iteration with the seconds of its phases, and the bytes exchanged where there are several ranks.

    Tensors become numbers, but where several seeds are trained at once, each of which has its own.
    """
    seconds = {name: round(seconds, 6) for name, seconds in phase.seconds.items()}
    bytes_sent = {"exchanged_bytes": phase.bytes_sent} if any(phase.bytes_sent.values()) else {}
    numbers = values if seeds_axis() else tree_map(values, Tensor.tolist)
    return {**numbers, "seconds": seconds, **bytes_sent}


def tree_map(value: Any, change: Callable[[Tensor], Any]) -> Any:
    """Nested metrics with every tensor changed."""
    if isinstance(value, dict):
        return {name: tree_map(entry, change) for name, entry in value.items()}
    if isinstance(value, list):
        return [tree_map(entry, change) for entry in value]
    return change(value) if isinstance(value, Tensor) else value

"""From the flat rows that trajectories hold to the tensors that a network reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from metarl.networks.spaces import described, has_bytes, is_image

COARSE = 7
"""Rows and columns of the coarse image that the baseline of the returns sees."""

ROWS_AT_ONCE = 4096
"""Images that are made coarse at once, which bounds the memory of their floats."""


class Layout:
    """Shape of observations: restores them from flat rows, without a copy.

    An observation is kept as one row of numbers, in the order of `gymnasium.spaces.flatten`; images stay bytes. A
    network reads tensors (rows, *shape) of floats, bytes divided by 255; the entries of a Dict by their names, discrete
    ones one-hot.

    Args:
        space: Space of an observation before it is flattened.

    Raises:
        FamilyError: Networks cannot read the space.

    Example:
        >>> layout = Layout(spaces.Box(0, 255, (2, 2, 3), np.uint8))
        >>> rows = torch.full((5, 12), 51, dtype=torch.uint8)
        >>> layout.restore(rows, torch.float32).shape, float(layout.restore(rows, torch.float32).max())
        (torch.Size([5, 2, 2, 3]), 0.20000000298023224)
    """

    def __init__(self, space: spaces.Space) -> None:
        described(space)
        self.space = space
        self.size = int(spaces.flatdim(space))
        """Numbers in a row."""
        self.reads_bytes = spaces.flatten_space(space).dtype == np.uint8
        """Whether all of them are bytes."""

    def restore(self, rows: Tensor, dtype: torch.dtype) -> Any:
        """Tensor (rows, *shape), or a dictionary of such tensors for a Dict.

        Args:
            rows: Flat observations, (rows, size).
            dtype: Floating-point type of the result.
        """
        return _restored(self.space, rows, dtype)

    def summary(self, observations: Tensor, dtype: torch.dtype) -> Tensor:
        """Observations for the baseline of the returns: images are averaged over a coarse grid.

        Args:
            observations: Flat observations (..., size).
            dtype: Floating-point type of the result.
        """
        if not has_bytes(self.space):
            return observations
        rows = observations.flatten(0, -2).split(ROWS_AT_ONCE)
        return torch.cat([_coarse(self.space, part, dtype) for part in rows]).unflatten(0, observations.shape[:-1])


def _restored(space: spaces.Space, rows: Tensor, dtype: torch.dtype) -> Any:
    if isinstance(space, spaces.Dict):
        return {name: _restored(part, rows[:, start:end], dtype) for name, part, start, end in _parts(space)}
    # Other kinds than a Box are one-hot or zeros and ones.
    shape = space.shape if isinstance(space, spaces.Box) else rows.shape[1:]
    assert shape is not None
    tensor = rows.to(dtype).unflatten(1, shape)
    return tensor / 255 if has_bytes(space) else tensor


def _parts(space: spaces.Dict) -> list[tuple[str, spaces.Space, int, int]]:
    """Name, space, and first and last place in a row, of every entry."""
    parts, start = [], 0
    for name, part in space.items():
        end = start + int(spaces.flatdim(part))
        parts.append((str(name), part, start, end))
        start = end
    return parts


def _coarse(space: spaces.Space, rows: Tensor, dtype: torch.dtype) -> Tensor:
    if isinstance(space, spaces.Dict):
        return torch.cat([_coarse(part, rows[:, start:end], dtype) for _, part, start, end in _parts(space)], 1)
    read = _restored(space, rows, dtype)
    if is_image(space):
        planes = channels_first(read)
        height, width = planes.shape[2:]
        read = adaptive_avg_pool2d(planes, (min(COARSE, height), min(COARSE, width)))
    return read.flatten(1)


def channels_first(images: Tensor) -> Tensor:
    """Images (rows, channels, height, width) from (rows, height, width, channels) or (rows, height, width).

    Frames stacked along the first axis already are in this order: the first axis is the channels if it is the shortest.

    Args:
        images: A batch of images.

    Example:
        >>> channels_first(torch.zeros(5, 64, 48, 3)).shape, channels_first(torch.zeros(5, 4, 64, 48)).shape
        (torch.Size([5, 3, 64, 48]), torch.Size([5, 4, 64, 48]))
    """
    if images.ndim == 3:
        return images[:, None]
    first, _, last = images.shape[1:]
    return images if first < last else images.permute(0, 3, 1, 2)

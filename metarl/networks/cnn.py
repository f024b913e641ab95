"""The convolutional network that ships, for images and for dictionaries with images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from gymnasium import spaces
from torch import Tensor, nn

from metarl.networks.layout import channels_first
from metarl.networks.spaces import is_image

CHANNELS = (16, 32)
"""Channels of the first convolution, and of the later ones."""

LEAST = 4
"""Rows and columns that the convolutions leave at most."""

ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU}


class Cnn(nn.Module):
    """Images through convolutions, then a perceptron; further entries of a dictionary go straight to the perceptron.

    Each convolution has 3 x 3 weights, a stride of 2 and a ReLU; there are as many as leave at most 4 x 4 places. The
    last layer is named `head`, so `--inner.adapt head` (ANIL) adapts it alone.

    Args:
        space: Space of an observation.
        outputs: Size of an output.
        hidden_sizes: Units of each hidden layer of the perceptron.
        activation: "tanh" or "relu", after each of these layers.

    Example:
        >>> import numpy as np
        >>> network = Cnn(spaces.Box(0, 255, (64, 64, 3), np.uint8), 5)
        >>> len(network.images["image"]) // 2, network(torch.zeros(2, 64, 64, 3)).shape
        (4, torch.Size([2, 5]))
    """

    def __init__(
        self, space: spaces.Space, outputs: int, hidden_sizes: Sequence[int] = (64, 64), activation: str = "tanh"
    ) -> None:
        super().__init__()
        parts = space.spaces if isinstance(space, spaces.Dict) else {"image": space}
        self.images = nn.ModuleDict({name: _convolutions(part) for name, part in parts.items() if is_image(part)})
        size = sum(
            int(_encoded(self.images[name], torch.zeros(1, *part.shape)).shape[1])  # type: ignore[misc]
            if name in self.images
            else int(spaces.flatdim(part))
            for name, part in parts.items()
        )
        layers: list[nn.Module] = []
        for inputs, units in pairwise((size, *hidden_sizes)):
            layers += [nn.Linear(inputs, units), ACTIVATIONS[activation]()]
        self.hidden = nn.Sequential(*layers)
        self.head = nn.Linear((size, *hidden_sizes)[-1], outputs)

    def forward(self, observations: Tensor | Mapping[str, Tensor]) -> Tensor:
        """Outputs (rows, outputs) for images (rows, height, width, channels), or for a dictionary of batches."""
        parts = {"image": observations} if isinstance(observations, Tensor) else observations
        encoded = [
            _encoded(self.images[name], part) if name in self.images else part.flatten(1)
            for name, part in parts.items()
        ]
        out: Tensor = self.head(self.hidden(torch.cat(encoded, 1)))
        return out


def _convolutions(space: spaces.Space) -> nn.Sequential:
    """Convolutions for images of a space."""
    planes = channels_first(torch.zeros(1, *space.shape))  # type: ignore[misc]
    channels, rest = planes.shape[1], max(planes.shape[2:])
    layers: list[nn.Module] = []
    while rest > LEAST or not layers:
        wide = CHANNELS[min(len(layers), 1)]
        layers += [nn.Conv2d(channels, wide, 3, stride=2, padding=1), nn.ReLU()]
        channels, rest = wide, (rest + 1) // 2
    return nn.Sequential(*layers)


def _encoded(convolutions: nn.Module, images: Tensor) -> Tensor:
    out: Tensor = convolutions(channels_first(images)).flatten(1)
    return out

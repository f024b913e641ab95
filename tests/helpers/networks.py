"""Factories of networks that several tests use, also by their name `tests.helpers.networks:factory`."""

import torch
from gymnasium import spaces
from torch import nn


def two_layers(space, outputs):
    """A perceptron whose last layer is its head."""
    hidden = nn.Sequential(nn.Linear(spaces.flatdim(space), 6), nn.Tanh())
    return _Named(hidden, nn.Linear(6, outputs))


class _Named(nn.Module):
    def __init__(self, hidden, head):
        super().__init__()
        self.hidden, self.head = hidden, head

    def forward(self, x):
        return self.head(self.hidden(x))


class Scaled(nn.Module):
    """A linear layer with a buffer and a frozen parameter."""

    def __init__(self, space, outputs):
        super().__init__()
        self.layer = nn.Linear(space.shape[0], outputs)
        self.frozen = nn.Parameter(torch.tensor(2.0), requires_grad=False)
        self.register_buffer("offset", torch.tensor(0.5))

    def forward(self, x):
        return self.frozen * self.layer(x) + self.offset


def of_parts(*parts):
    """A factory of a perceptron with further parts between its layers."""

    def factory(space, outputs):
        return nn.Sequential(nn.Linear(space.shape[0], 6), *parts, nn.Linear(6, outputs))

    return factory

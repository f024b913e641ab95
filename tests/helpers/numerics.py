"""Small numerical tools of tests."""

import torch


def tensors(episodes):
    """The fields of episodes that are there."""
    return [x for x in episodes if x is not None]


def central_differences(function, vector, epsilon=1e-5):
    """Gradient of a scalar function of a float64 vector."""
    gradient = torch.zeros_like(vector)
    for i in range(len(vector)):
        step = torch.zeros_like(vector)
        step[i] = epsilon
        gradient[i] = (function(vector + step) - function(vector - step)) / (2 * epsilon)
    return gradient

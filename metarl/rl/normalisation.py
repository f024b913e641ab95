"""Observations centred and scaled by what meta-training has seen of them.

The statistics are entries of theta which nothing learns: no gradient reaches them and no inner rule adapts them. Those
that an iteration acts with were gathered before it, so it stays a function of state, iteration and seed.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from metarl.core.errors import ConfigError
from metarl.core.params import STATISTICS, Params, TaskParams

COUNT, MEAN, VARIANCE = (f"{STATISTICS}{name}" for name in ("count", "mean", "variance"))

FLAT = 1e-12
"""Variance below which an observation counts as constant, and is centred only."""

Moments = Float[Tensor, " moments"]
"""A number of observations, the sum of their distances from a mean, and that of the squares, in float64."""


def unseen(size: int) -> Params:
    """Statistics before anything has been observed, which leave observations as they are."""
    return {
        COUNT: torch.zeros((), dtype=torch.float64),
        MEAN: torch.zeros(size, dtype=torch.float64),
        VARIANCE: torch.ones(size, dtype=torch.float64),
    }


def normalise(params: TaskParams, observations: Float[Tensor, "tasks *rows observation"]) -> Tensor:
    """Observations less their mean, divided by their standard deviation."""
    shape = (len(observations), *[1] * (observations.ndim - 2), -1)
    mean, scale = params[MEAN].reshape(shape), _scale(params[VARIANCE]).reshape(shape)
    return (observations - mean) / scale


def _scale(variance: Tensor) -> Tensor:
    return torch.where(variance < FLAT, 1, variance).sqrt()


def moments(
    params: TaskParams,
    observations: Float[Tensor, "tasks episodes steps observation"],
    mask: Bool[Tensor, "tasks episodes steps"],
) -> Float[Tensor, "tasks moments"] | None:
    """Moments of each task's observations about the mean that it acted with; None where it keeps no statistics."""
    if MEAN not in params:
        return None
    pseudo_gradient = observations.double() - params[MEAN].double()[:, None, None]
    pseudo_gradient = pseudo_gradient.masked_fill(~mask[..., None], 0).flatten(1, 2)
    return torch.cat([mask.sum((1, 2)).double()[:, None], pseudo_gradient.sum(1), pseudo_gradient.square().sum(1)], 1)


def updated(theta: Params, found: Sequence[float] | None) -> Params:
    """theta with further observations in its statistics, if it keeps any (Chan, Golub and LeVeque 1983, equation 2.1).

    `found` are their `Moments`, as an iteration's metrics have them.
    Raises ConfigError where it does and an algorithm did not report what was observed.
    """
    if MEAN not in theta:
        return theta
    if found is None:
        raise ConfigError(
            "--policy.normalise-observations: the algorithm does not report what it observed; "
            "expected the entries of Adaptation.metrics() among its metrics"
        )
    count, mean, variance = (theta[name].double() for name in (COUNT, MEAN, VARIANCE))
    reported = torch.tensor(found, dtype=torch.float64, device=count.device)
    n, (first, second) = reported[0], reported[1:].chunk(2)
    everything, shift = count + n, first / n
    within = count * variance + second - n * shift.square()
    spread = (within + shift.square() * count * n / everything) / everything
    new = {COUNT: everything, MEAN: mean + shift * n / everything, VARIANCE: spread.clamp(min=0)}
    return theta | {name: value.to(theta[name].dtype) for name, value in new.items()}


def folded(params: Params) -> Params:
    """The same function of observations as they are, without statistics: the first layer does what they did."""
    if MEAN not in params:
        return params
    first = "hidden.0" if "hidden.0.weight" in params else "head"
    mean, scale = params[MEAN].double(), _scale(params[VARIANCE].double())
    weight, bias = params[f"{first}.weight"], params[f"{first}.bias"]
    # Context parameters, if there are any, are read after the observation.
    reads = weight[:, : len(mean)].double() / scale
    changed = {
        f"{first}.weight": torch.cat([reads.to(weight), weight[:, len(mean) :]], 1),
        f"{first}.bias": (bias.double() - reads @ mean).to(bias),
    }
    return {name: changed.get(name, value) for name, value in params.items() if not name.startswith(STATISTICS)}

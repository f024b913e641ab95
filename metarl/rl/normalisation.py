"""Normalisation of observations by their mean and variance over meta-training.

The statistics are entries of theta that are not learned: no gradient reaches them, and no adapter changes them. An
iteration acts with the statistics of earlier iterations, so it is a function of state, iteration and seed.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from metarl.core.errors import ConfigError
from metarl.core.params import STATISTICS, Params, TaskParams

COUNT, MEAN, VARIANCE = (f"{STATISTICS}{name}" for name in ("count", "mean", "variance"))

FLAT = 1e-12
"""Variance below which an observation counts as constant and is only centred."""

Moments = Float[Tensor, " moments"]
"""Number of observations, sum of their deviations from a mean, and sum of the squared deviations, float64."""


def unseen(size: int) -> Params:
    """Statistics of no observations; normalisation with them is the identity."""
    return {
        COUNT: torch.zeros((), dtype=torch.float64),
        MEAN: torch.zeros(size, dtype=torch.float64),
        VARIANCE: torch.ones(size, dtype=torch.float64),
    }


def normalise(params: TaskParams, observations: Float[Tensor, "tasks *rows observation"]) -> Tensor:
    """Subtract the mean from observations and divide by the standard deviation."""
    shape = (len(observations), *[1] * (observations.ndim - 2), -1)
    mean, scale = params[MEAN].reshape(shape), _scale(params[VARIANCE]).reshape(shape)
    return (observations - mean) / scale


def _scale(variance: Tensor) -> Tensor:
    return torch.where(variance < FLAT, 1, variance).sqrt()


def moments(
    params: TaskParams,
    observations: Shaped[Tensor, "tasks episodes steps observation"],
    mask: Bool[Tensor, "tasks episodes steps"],
) -> Float[Tensor, "tasks moments"] | None:
    """Moments of each task's observations about the mean that it acted with; None without statistics.

    Args:
        params: Parameters of every task.
        observations: Observations of all steps.
        mask: True for steps of an episode.
    """
    if MEAN not in params:
        return None
    deviation = observations.double() - params[MEAN].double()[:, None, None]
    deviation = deviation.masked_fill(~mask[..., None], 0).flatten(1, 2)
    return torch.cat([mask.sum((1, 2)).double()[:, None], deviation.sum(1), deviation.square().sum(1)], 1)


def updated(theta: Params, found: Sequence[float] | None) -> Params:
    """Add observations to the statistics in theta, if it has any (Chan, Golub and LeVeque 1983, equation 2.1).

    Args:
        theta: The initialisation.
        found: `Moments` of the observations, from the metrics of an iteration.

    Raises:
        ConfigError: theta has statistics, but the algorithm did not report moments.
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
    """Merge the normalisation into the first layer: the same function of raw observations, without statistics."""
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

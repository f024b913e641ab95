"""Returns, generalised advantage estimation and the linear feature baseline, for all tasks at once.

Each row is one episode from its first step, so discounted sums are one product with a triangular matrix. Steps after
the end of an episode are masked to zero.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from metarl.core.errors import Divergence
from metarl.rl.data import Episodes, PolicyBatch

RIDGE = 1e-5
"""Ridge penalty of the baseline."""

OBSERVATION_BOUND = 10.0
"""Bound to which observations are clipped before they become features."""

TIME_SCALE = 100.0
"""Steps in a unit of the time features."""

NEGLIGIBLE = 1e-4
"""Advantages below this fraction of the returns count as rounding errors."""


def discounted_sums(values: Float[Tensor, "*rows steps"], discount: float) -> Float[Tensor, "*rows steps"]:
    """Discounted sums: sum over k >= 0 of discount^k values[t + k], for every t.

    Example:
        >>> discounted_sums(torch.tensor([1.0, 1.0, 1.0]), 0.5)
        tensor([1.7500, 1.5000, 1.0000])
    """
    steps = values.shape[-1]
    time = torch.arange(steps, device=values.device)
    lag = time[:, None] - time[None, :]
    matrix = torch.where(lag >= 0, discount ** lag.clamp(min=0).to(values.dtype), 0.0)
    return values @ matrix


def advantages(
    rewards: Float[Tensor, "tasks episodes steps"],
    values: Float[Tensor, "tasks episodes steps"],
    mask: Bool[Tensor, "tasks episodes steps"],
    *,
    gamma: float,
    gae_lambda: float,
) -> Float[Tensor, "tasks episodes steps"]:
    """Generalised advantage estimates (Schulman et al. 2016, equation 16).

    Args:
        rewards: Rewards, zero after the end of an episode.
        values: Value estimates of the observations.
        mask: True for steps of an episode.
        gamma: Discount factor.
        gae_lambda: Lambda.
    """
    valid = mask.to(rewards.dtype)
    values = values * valid
    following = torch.cat([values[..., 1:], torch.zeros_like(values[..., :1])], -1)
    deltas = (rewards + gamma * following - values) * valid
    return discounted_sums(deltas, gamma * gae_lambda) * valid


def baseline_features(
    observations: Float[Tensor, "tasks episodes steps observation"],
) -> Float[Tensor, "tasks episodes steps features"]:
    """Features [o, o^2, t, t^2, t^3, 1] (Duan et al. 2016), with o clipped to [-10, 10] and t in hundreds of steps."""
    o = observations.clamp(-OBSERVATION_BOUND, OBSERVATION_BOUND)
    t = torch.arange(o.shape[-2], dtype=o.dtype, device=o.device) / TIME_SCALE
    time = torch.stack([t, t**2, t**3, torch.ones_like(t)], -1).expand(*o.shape[:-1], 4)
    return torch.cat([o, o * o, time], -1)


def fit_baseline(
    features: Float[Tensor, "tasks episodes steps features"],
    targets: Float[Tensor, "tasks episodes steps"],
    mask: Bool[Tensor, "tasks episodes steps"],
) -> Float[Tensor, "tasks features"]:
    """Ridge regression of targets on features, one solve for each task, in float64.

    The penalty is RIDGE plus a term relative to the matrix, so that constant observations (singular features) can be
    solved too.

    Args:
        features: Features of every step.
        targets: Regression targets of every step.
        mask: True for steps of an episode.

    Raises:
        Divergence: The data of a task is not finite; the error names the task.
    """
    x = (features * mask[..., None]).flatten(1, 2).double()
    y = (targets * mask).flatten(1, 2).double()
    normal = x.mT @ x
    ridge = RIDGE + 1e-12 * normal.diagonal(dim1=-2, dim2=-1).sum(-1)
    normal = normal + ridge[:, None, None] * torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
    moments = (x.mT @ y[..., None]).squeeze(-1)
    finite = torch.isfinite(normal).flatten(1).all(-1) & torch.isfinite(moments).all(-1)
    if not bool(finite.all()):
        task = int((~finite).nonzero()[0])
        message = f"task {task} of the batch: its episodes hold values that are not finite; try a smaller inner lr"
        raise Divergence(message, task)
    # Cholesky instead of LU: batched LU in torch's CPU build fails on some matrices of 200 features with two threads.
    factor = torch.linalg.cholesky(normal)
    return torch.cholesky_solve(moments[..., None], factor).squeeze(-1).to(targets.dtype)


def fit_to_returns(episodes: Episodes, gamma: float) -> Float[Tensor, "tasks features"]:
    """Coefficients of the baseline, fitted to the discounted Monte-Carlo returns of the same episodes."""
    return fit_baseline(
        baseline_features(episodes.observations), discounted_sums(episodes.rewards, gamma), episodes.mask
    )


def policy_batch(
    episodes: Episodes,
    coefficients: Float[Tensor, "tasks features"] | None,
    *,
    gamma: float,
    gae_lambda: float,
) -> PolicyBatch:
    """Compute normalised advantages and averaging weights of all transitions.

    Advantages are centred and scaled to unit deviation within each task. Weights average over each task's transitions.

    Args:
        episodes: The episodes of all tasks.
        coefficients: Coefficients of the baseline; None for no baseline.
        gamma: Discount factor.
        gae_lambda: Lambda of generalised advantage estimation.
    """
    valid = episodes.mask.to(episodes.rewards.dtype)
    if coefficients is None:
        values = torch.zeros_like(episodes.rewards)
    else:
        features = baseline_features(episodes.observations)
        values = (features.flatten(1, 2) @ coefficients[..., None]).reshape(episodes.rewards.shape)
    estimates = advantages(episodes.rewards, values, episodes.mask, gamma=gamma, gae_lambda=gae_lambda)
    weights = valid / valid.sum((1, 2), keepdim=True)
    centred = (estimates - (estimates * weights).sum((1, 2), keepdim=True)) * valid
    deviation = (centred.square() * weights).sum((1, 2), keepdim=True).sqrt()
    # If the baseline explains the returns completely, the rest is rounding and must not be scaled to unit deviation.
    size = (discounted_sums(episodes.rewards, gamma).square() * weights).sum((1, 2), keepdim=True).sqrt()
    deviation = torch.maximum(deviation, NEGLIGIBLE * size)
    normalised = centred / (deviation + 1e-8)
    return PolicyBatch(episodes.observations, episodes.actions, episodes.log_probs, normalised, weights)

"""Trust-region step: natural-gradient direction by conjugate gradient, then a line search on the true loss and KL.

Schulman et al. (2015), section 6 and appendix C. Vectors here are flat.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from metarl.policies import Distribution
from metarl.reductions import number_everywhere
from metarl.types import Params

Vector = Float[Tensor, " parameters"]


def ravel(params: Params) -> Vector:
    """All parameters as one vector, in the order of the dictionary."""
    return torch.cat([value.reshape(-1) for value in params.values()])


def unravel(vector: Vector, like: Params) -> Params:
    """The inverse of `ravel`, with names and shapes taken from `like`."""
    parts = vector.split([value.numel() for value in like.values()])
    return {name: part.reshape(value.shape) for (name, value), part in zip(like.items(), parts, strict=True)}


def conjugate_gradient(
    product: Callable[[Vector], Vector], target: Vector, *, iterations: int, tolerance: float = 1e-10
) -> tuple[Vector, Vector]:
    """Approximate solution x of A x = target for a symmetric positive definite A, and A x beside it.

    `product(v)` computes A v. Stops early once the squared residual has fallen by `tolerance`.
    """
    x = torch.zeros_like(target)
    residual = target.clone()
    direction = target.clone()
    squared = residual @ residual
    if not squared > 0:
        return x, target
    floor = tolerance * squared
    for _ in range(iterations):
        image = product(direction)
        step = squared / (direction @ image)
        x = x + step * direction
        residual = residual - step * image
        following = residual @ residual
        if following <= floor:
            break
        direction = residual + (following / squared) * direction
        squared = following
    return x, target - residual


class GaussNewton:
    """Products with J^T M J, the Hessian of the mean KL at the parameters that the data came from.

    J is the Jacobian of the distribution's parameters with respect to theta, through the adaptation, and M their
    Fisher information. At those parameters the KL's second derivative is exactly this product (Martens 2020,
    section 9), at the price of two passes over one recorded graph: J^T is the recorded pull-back, and J is the
    derivative of that pull-back, which is linear in what it pulls back.
    """

    def __init__(
        self,
        distribution_of: Callable[[Params], Distribution],
        theta: Params,
        weights: Float[Tensor, tasks * rows],
        *,
        damping: float,
    ) -> None:
        self._theta = {name: value.detach().requires_grad_() for name, value in theta.items()}
        self._leaves = list(self._theta.values())
        self._distribution = distribution_of(self._theta)
        # Weights average over a task's transitions; tasks are averaged as in `mean_over_tasks`.
        self._weights = (weights / number_everywhere(len(weights)))[..., None]
        self._damping = damping
        self._probe = [torch.zeros_like(part).requires_grad_() for part in self._distribution]
        self._pulled_back = torch.autograd.grad(
            list(self._distribution), self._leaves, self._probe, create_graph=True, materialize_grads=True
        )
        self._detached = type(self._distribution)(*(part.detach() for part in self._distribution))

    def __call__(self, vector: Vector) -> Vector:
        tangents = list(unravel(vector, self._theta).values())
        forward = torch.autograd.grad(
            self._pulled_back, self._probe, tangents, retain_graph=True, materialize_grads=True
        )
        image = self._detached.fisher_product(type(self._detached)(*forward))  # type: ignore[arg-type]
        weighted = [part * self._weights for part in image]
        back = torch.autograd.grad(
            list(self._distribution), self._leaves, weighted, retain_graph=True, materialize_grads=True
        )
        return torch.cat([part.reshape(-1) for part in back]) + self._damping * vector


class LineSearch(NamedTuple):
    """Outcome of a backtracking line search; `backtracks` is -1 where no point was accepted."""

    theta: Params
    accepted: bool
    backtracks: int
    loss: float
    kl: float


def line_search(
    evaluate: Callable[[Params], tuple[Tensor, Tensor]],
    theta: Params,
    step: Vector,
    *,
    loss: float,
    max_kl: float,
    max_backtracks: int,
    backtrack_ratio: float,
) -> LineSearch:
    """The longest step theta - ratio^i * step that lowers the loss and keeps the KL within `max_kl`.

    `evaluate` gives the true (loss, KL) of a candidate. Where no candidate is accepted theta stays.
    """
    start = ravel(theta)
    for i in range(max_backtracks):
        candidate = unravel(start - backtrack_ratio**i * step, theta)
        new_loss, new_kl = (float(x) for x in evaluate(candidate))
        if new_loss < loss and new_kl <= max_kl:
            return LineSearch(candidate, True, i, new_loss, new_kl)
    return LineSearch(theta, False, -1, loss, 0.0)

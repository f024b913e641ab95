"""Trust-region step: natural-gradient direction by conjugate gradient, then a line search on the true loss and KL.

Schulman et al. (2015), section 6 and appendix C. Vectors here are flat, one for each seed where several are trained at
once; a seed whose search has ended stays where it is while the others go on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.linalg import vecdot

from metarl.adaptation.adapter import GradientAdapter, replay
from metarl.adaptation.problem import Distribution, DistributionalProblem
from metarl.algorithms.meta_gradient import value_and_grad
from metarl.algorithms.metrics import Metrics
from metarl.config.algorithms import TrustRegionConfig
from metarl.core.collectives import global_num_tasks, mean_over_tasks
from metarl.core.params import Params
from metarl.core.seed_axis import flat
from metarl.core.timing import Phases

Vector = Float[Tensor, "*seeds parameters"]


def ravel(params: Params) -> Vector:
    """All parameters as one vector, in the order of the dictionary."""
    return torch.cat([flat(value) for value in params.values()], -1)


def unravel(vector: Vector, like: Params) -> Params:
    """The inverse of `ravel`, with names and shapes taken from `like`."""
    parts = vector.split([flat(value).shape[-1] for value in like.values()], -1)
    return {name: part.reshape(value.shape) for (name, value), part in zip(like.items(), parts, strict=True)}


def conjugate_gradient(
    product: Callable[[Vector], Vector], target: Vector, *, iterations: int, tolerance: float = 1e-10
) -> tuple[Vector, Vector]:
    """Approximate solution x of A x = target for a symmetric positive definite A, and A x beside it.

    `product(v)` computes A v. Stops early once the squared residual has fallen by `tolerance`.
    """
    x = torch.zeros_like(target)
    residual = direction = target
    squared = vecdot(residual, residual)
    going = squared > 0
    floor = tolerance * squared
    for _ in range(iterations):
        if not bool(going.any()):
            break
        image = product(direction)
        step = torch.where(going, squared / vecdot(direction, image), 0)[..., None]
        x = x + step * direction
        residual = residual - step * image
        following = vecdot(residual, residual)
        going = going & ~(following <= floor)
        direction = torch.where(going[..., None], residual + (following / squared)[..., None] * direction, direction)
        squared = torch.where(going, following, squared)
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
        weights: Float[Tensor, " tasks *rows"],
        *,
        damping: float,
    ) -> None:
        self._theta = {name: value.detach().requires_grad_() for name, value in theta.items()}
        self._leaves = list(self._theta.values())
        self._distribution = distribution_of(self._theta)
        # Weights average over a task's transitions; tasks are averaged as in `mean_over_tasks`.
        self._weights = (weights / global_num_tasks(len(weights)))[..., None]
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
        image = self._detached.fisher_product(type(self._detached)(*forward))
        weighted = [part * self._weights for part in image]
        back = torch.autograd.grad(
            list(self._distribution), self._leaves, weighted, retain_graph=True, materialize_grads=True
        )
        return torch.cat([flat(part) for part in back], -1) + self._damping * vector


class LineSearch(NamedTuple):
    """Outcome of a backtracking line search; `backtracks` is -1 where no point was accepted."""

    theta: Params
    accepted: Bool[Tensor, "*seeds"]
    backtracks: Int[Tensor, "*seeds"]
    loss: Float[Tensor, "*seeds"]
    kl: Float[Tensor, "*seeds"]


def line_search(
    evaluate: Callable[[Params], tuple[Tensor, Tensor]],
    theta: Params,
    step: Vector,
    *,
    loss: Float[Tensor, "*seeds"],
    max_kl: float,
    max_backtracks: int,
    backtrack_ratio: float,
) -> LineSearch:
    """The longest step theta - ratio^i * step that lowers the loss and keeps the KL within `max_kl`.

    `evaluate` gives the true (loss, KL) of a candidate. Where no candidate is accepted theta stays.
    """
    start = point = ravel(theta)
    backtracks = torch.full_like(loss, -1, dtype=torch.int64)
    found_loss, found_kl = loss, torch.zeros_like(loss)
    for i in range(max_backtracks):
        candidate = start - backtrack_ratio**i * step
        new_loss, new_kl = evaluate(unravel(candidate, theta))
        accepted = (backtracks < 0) & (new_loss < loss) & (new_kl.double() <= max_kl)
        point = torch.where(accepted[..., None], candidate, point)
        backtracks = torch.where(accepted, i, backtracks)
        found_loss = torch.where(accepted, new_loss, found_loss)
        found_kl = torch.where(accepted, new_kl, found_kl)
        if bool((backtracks >= 0).all()):
            break
    return LineSearch(unravel(point, theta), backtracks >= 0, backtracks, found_loss, found_kl)


def trust_region_step(
    problem: DistributionalProblem,
    theta: Params,
    supports: list[Any],
    query: Any,
    adapter: GradientAdapter,
    tasks: int,
    region: TrustRegionConfig,
    phase: Phases,
) -> tuple[Params, Metrics]:
    """TRPO's step (Schulman et al. 2015) on the query loss of the adapted policies.

    The constraint is the KL between the adapted policies before and after the step on the query data, averaged over
    tasks. The KL's Hessian is the Gauss-Newton product on every `curvature_stride`-th transition (appendix C), which
    only shapes the search direction; loss and KL of the line search use all data.
    """

    def adapted_distribution(at: Params, steps_data: list[Any], data: Any) -> Any:
        return problem.distribution(replay(problem.inner_loss, at, steps_data, adapter, tasks), data)

    old: Any = None

    def query_loss(at: Params) -> Tensor:
        nonlocal old
        old = adapted_distribution(at, supports, query)
        return mean_over_tasks(problem.loss_of(old, query))

    with phase("gradient"):
        loss, slopes = value_and_grad(query_loss, theta)
        gradient = ravel(slopes)
        old = type(old)(*(part.detach() for part in old))

    with phase("curvature"):
        thin_supports = [problem.subsample(support, region.curvature_stride) for support in supports]
        thin_query = problem.subsample(query, region.curvature_stride)
        fisher = GaussNewton(
            lambda at: adapted_distribution(at, thin_supports, thin_query),
            theta,
            thin_query.weights,
            damping=region.damping,
        )
        direction, image = conjugate_gradient(fisher, gradient, iterations=region.cg_iterations)
        length = torch.sqrt(2 * region.max_kl / vecdot(direction, image).clamp(min=1e-12))

    def loss_and_kl(at: Params) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            new = adapted_distribution(at, supports, query)
            return mean_over_tasks(problem.loss_of(new, query)), mean_over_tasks(problem.divergence(new, old, query))

    with phase("line_search"):
        found = line_search(
            loss_and_kl,
            theta,
            length[..., None] * direction,
            loss=loss,
            max_kl=region.max_kl,
            max_backtracks=region.max_backtracks,
            backtrack_ratio=region.backtrack_ratio,
        )
    return found.theta, {
        "outer_loss": loss,
        "outer_loss_after": found.loss,
        "kl": found.kl,
        "line_search": {"accepted": found.accepted, "backtracks": found.backtracks},
        "gradient_norm": gradient.norm(dim=-1),
    }

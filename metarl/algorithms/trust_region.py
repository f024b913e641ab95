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
from metarl.algorithms.meta_gradient import grad, requires_grad
from metarl.algorithms.metrics import Metrics
from metarl.config.algorithms import TrustRegionConfig
from metarl.core.collectives import global_num_tasks, mean_over_tasks
from metarl.core.params import Params
from metarl.core.seed_axis import flat, tasks_of_a_seed
from metarl.core.timing import Phases

Vector = Float[Tensor, "*seeds parameters"]

FEWEST_TASKS = 5
"""Of a meta-batch whose curvature is estimated; with fewer, the direction follows single tasks."""

NEAR_BOUND = 0.9
"""A step whose KL is at least this fraction of the bound is long enough."""

RESCALINGS = 5
"""Most often that a line search changes the length of the whole step; one or two are usual."""


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
        self.distribution = type(self._distribution)(*(part.detach() for part in self._distribution))
        # Weights average over a task's transitions; tasks are averaged as in `mean_over_tasks`.
        self._weights = (weights / global_num_tasks(len(weights)))[..., None]
        self._damping = damping
        # The value of what is pulled back does not matter: the pull-back is linear in it.
        self._probe = [torch.zeros_like(part, requires_grad=True) for part in self.distribution]
        self._pulled_back = torch.autograd.grad(
            list(self._distribution), self._leaves, self._probe, create_graph=True, materialize_grads=True
        )

    def __call__(self, vector: Vector) -> Vector:
        tangents = list(unravel(vector, self._theta).values())
        forward = torch.autograd.grad(
            self._pulled_back, self._probe, tangents, retain_graph=True, materialize_grads=True
        )
        image = self.distribution.fisher_product(type(self.distribution)(*forward))
        # A distribution of several heads has an axis more.
        shape = self._weights.shape
        weighted = [part * self._weights.reshape(*shape, *[1] * (part.ndim - len(shape))) for part in image]
        back = torch.autograd.grad(
            list(self._distribution), self._leaves, weighted, retain_graph=True, materialize_grads=True
        )
        return torch.cat([flat(part) for part in back], -1) + self._damping * vector


class LineSearch(NamedTuple):
    """Outcome of a backtracking line search; `backtracks` is -1 where no point was accepted."""

    theta: Params
    accepted: Bool[Tensor, "*seeds"]
    backtracks: Int[Tensor, "*seeds"]
    rescalings: Int[Tensor, "*seeds"]
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
    """The step theta - ratio^i * scale * step of the smallest i that lowers the loss and keeps the KL within `max_kl`.

    The scale brings the KL of the whole step to the bound, from below or from above (`_scaled_to_bound`). `evaluate`
    gives the true (loss, KL) of a candidate. Where no candidate is accepted theta stays.
    """
    start = point = ravel(theta)

    def measured(scale: Float[Tensor, "*seeds"]) -> tuple[Tensor, Tensor]:
        return evaluate(unravel(start - scale[..., None] * step, theta))

    scale, rescalings, new_loss, new_kl = _scaled_to_bound(measured, torch.ones_like(loss), max_kl)
    backtracks = torch.full_like(loss, -1, dtype=torch.int64)
    found_loss, found_kl = loss, torch.zeros_like(loss)
    for i in range(max_backtracks):
        if i > 0:
            scale = backtrack_ratio * scale
            new_loss, new_kl = measured(scale)
        accepted = (backtracks < 0) & (new_loss < loss) & (new_kl.double() <= max_kl)
        point = torch.where(accepted[..., None], start - scale[..., None] * step, point)
        backtracks = torch.where(accepted, i, backtracks)
        found_loss = torch.where(accepted, new_loss, found_loss)
        found_kl = torch.where(accepted, new_kl, found_kl)
        if bool((backtracks >= 0).all()):
            break
    return LineSearch(unravel(point, theta), backtracks >= 0, backtracks, rescalings, found_loss, found_kl)


def _scaled_to_bound(
    measured: Callable[[Float[Tensor, "*seeds"]], tuple[Tensor, Tensor]], scale: Float[Tensor, "*seeds"], max_kl: float
) -> tuple[Float[Tensor, "*seeds"], Int[Tensor, "*seeds"], Float[Tensor, "*seeds"], Float[Tensor, "*seeds"]]:
    """A scale whose KL is between `NEAR_BOUND` and 1 times `max_kl`, how often it changed, and its loss and KL.

    The square root of the KL is nearly proportional to the length of a step, so the scale follows it, by a factor of
    ten at most. Where that leads out of the interval that is known to hold the bound, it goes to the interval's
    geometric mean. A scale whose KL is not finite stays.
    """
    target = (max_kl * (1 + NEAR_BOUND) / 2) ** 0.5
    rescalings = torch.zeros_like(scale, dtype=torch.int64)
    low, high = torch.zeros_like(scale), torch.full_like(scale, torch.inf)
    for trial in range(RESCALINGS + 1):
        loss, kl = measured(scale)
        near = (kl.double() >= NEAR_BOUND * max_kl) & (kl.double() <= max_kl)
        changes = kl.isfinite() & ~near
        if trial == RESCALINGS or not bool(changes.any()):
            break
        root = kl.clamp(min=0).sqrt()
        low, high = torch.where(root < target, scale, low), torch.where(root < target, high, scale)
        following = scale * (target / root).clamp(0.1, 10)
        inside = (following > low) & (following < high)
        following = torch.where(inside, following, (low * high).sqrt())
        scale = torch.where(changes, following, scale)
        rescalings = rescalings + changes
    return scale, rescalings, loss, kl


def every_nth_task(tasks: int, first_task: int, stride: int) -> Int[Tensor, " chosen"]:
    """Indices of the tasks of every seed whose place in the meta-batch is a multiple of the stride.

    The stride is reduced where fewer than `FEWEST_TASKS` of the meta-batch would remain. A rank may have none.

    Args:
        tasks: Number of this rank's tasks, over all seeds.
        first_task: Index within the meta-batch of the first of them.
        stride: Distance between the chosen tasks.
    """
    everywhere = global_num_tasks(tasks)
    stride = max(1, min(stride, everywhere // FEWEST_TASKS))
    own = tasks_of_a_seed(tasks)
    return torch.tensor([task for task in range(tasks) if (first_task + task % own) % stride == 0], dtype=torch.int64)


def trust_region_step(
    problem: DistributionalProblem,
    theta: Params,
    supports: list[Any],
    query: Any,
    adapter: GradientAdapter,
    first_task: int,
    region: TrustRegionConfig,
    phase: Phases,
) -> tuple[Params, Metrics]:
    """TRPO's step (Schulman et al. 2015) on the query loss of the adapted policies.

    The constraint is the KL between the adapted policies before and after the step on the query data, averaged over
    tasks. The direction solves a linear system with that KL's Hessian by a few iterations of conjugate gradient. The
    Hessian is a mean over tasks. That of every `curvature_stride`-th task, with all of its data, is an unbiased
    estimate.

    Args:
        problem: Defines the losses and the KL.
        theta: The initialisation.
        supports: Support data of each inner step.
        query: Query data.
        adapter: The inner loop.
        first_task: Index within the meta-batch of the first of this rank's tasks.
        region: Options of the step.
        phase: Clock of the iteration.

    Returns:
        The new theta, and metrics.
    """
    tasks = len(query.weights)

    def adapted(at: Params, support_data: list[Any], data: Any) -> Any:
        params = replay(problem.inner_loss, at, support_data, adapter, len(data.weights))
        return problem.distribution(params, data)

    with phase("gradient"):
        leaves = requires_grad(theta)
        now = adapted(leaves, supports, query)
        old = type(now)(*(part.detach() for part in now))
        loss_now = mean_over_tasks(problem.loss_of(now, query))
        gradient = ravel(grad(loss_now, leaves))
        loss = loss_now.detach()
        del now, leaves, loss_now

    with phase("curvature"):
        some = every_nth_task(tasks, first_task, region.curvature_stride)
        part, part_supports = problem.of_tasks(query, some), [problem.of_tasks(support, some) for support in supports]
        product = GaussNewton(lambda at: adapted(at, part_supports, part), theta, part.weights, damping=region.damping)
        direction, image = conjugate_gradient(product, gradient, iterations=region.cg_iterations)
        length = torch.sqrt(2 * region.max_kl / vecdot(direction, image).clamp(min=1e-12))
        del product

    def loss_and_kl(at: Params) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            new = adapted(at, supports, query)
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
        "line_search": {
            "accepted": found.accepted,
            "backtracks": found.backtracks,
            "rescalings": found.rescalings,
        },
        "gradient_norm": gradient.norm(dim=-1),
    }

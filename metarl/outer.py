"""What outer updates share: the meta-gradient, Adam, and the trust-region step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.linalg import vecdot

from metarl.config import AdamConfig, ReptileOptions, TrustRegionConfig
from metarl.inner import InnerRule, adapt_step, begin, replay
from metarl.problem import DistributionalProblem, SampledProblem, mean_over_tasks
from metarl.reductions import for_every_task, number_everywhere, sum_over_tasks
from metarl.seeds_axis import flat, seeds_axis
from metarl.timing import Phases
from metarl.trust_region import GaussNewton, conjugate_gradient, line_search, ravel
from metarl.types import Params, State

Metrics = dict[str, Any]


def recorded(theta: Params) -> Params:
    """theta as leaves of a graph: what is computed from it can be differentiated."""
    return {name: value.detach().requires_grad_() for name, value in theta.items()}


def slopes_of(value: Tensor, leaves: Params) -> Params:
    """Gradient of a scalar with respect to `recorded` parameters; zero for those that it does not depend on.

    Of several seeds each has its scalar, on which the others' parameters have no influence.
    """
    slopes = torch.autograd.grad(value.sum(), list(leaves.values()), materialize_grads=True)
    return dict(zip(leaves, slopes, strict=True))


def gradient_of(loss: Callable[[Params], Tensor], theta: Params) -> tuple[Tensor, Params]:
    """Value and gradient of a scalar function of theta."""
    leaves = recorded(theta)
    value = loss(leaves)
    return value.detach(), slopes_of(value, leaves)


def sampling_score(
    problem: SampledProblem, theta: Params, supports: list[Any], objective: Tensor, rule: InnerRule
) -> Float[Tensor, " tasks"]:
    """The part of the meta-gradient that comes from theta choosing the support data (Stadie et al. 2018, equation 4).

    -(objective - baseline) log p(supports), the query data's objective credited to all support actions; the baseline
    is the mean objective of the other tasks, which does not depend on a task's own data.
    """
    n, everyones = number_everywhere(len(objective)), for_every_task(sum_over_tasks(objective), len(objective))
    advantage = (objective - (everyones - objective) / (n - 1)) if n > 1 else objective
    at, log_likelihood = begin(theta, len(objective)), torch.zeros_like(objective)
    for support in supports:
        log_likelihood = log_likelihood + problem.log_likelihood(at.params, support)
        at = adapt_step(problem.inner_loss, at, support, rule)
    return -advantage.detach() * log_likelihood


def norm(gradient: Params) -> Float[Tensor, "*seeds"]:
    return torch.sqrt(sum((flat(g.square()).sum(-1) for g in gradient.values()), torch.zeros(())))


class AdamState(NamedTuple):
    """First and second moments of every parameter, and the number of steps taken."""

    first: Params
    second: Params
    steps: Tensor

    @staticmethod
    def zero(theta: Params) -> AdamState:
        first, second = ({name: torch.zeros_like(value) for name, value in theta.items()} for _ in range(2))
        return AdamState(first, second, torch.zeros((), dtype=torch.int64))

    def to_params(self) -> Params:
        """As one dictionary of tensors, for a checkpoint."""
        first = {f"first.{name}": value for name, value in self.first.items()}
        second = {f"second.{name}": value for name, value in self.second.items()}
        return {**first, **second, "steps": self.steps}

    @staticmethod
    def from_params(params: Params, theta: Params) -> AdamState:
        return AdamState(
            {name: params[f"first.{name}"] for name in theta},
            {name: params[f"second.{name}"] for name in theta},
            params["steps"],
        )


def adam_step(
    theta: Params, gradient: Params, state: AdamState, config: AdamConfig, factor: float
) -> tuple[Params, AdamState]:
    """One step of Adam (Kingma and Ba 2015, algorithm 1) at `factor` times the configured rate."""
    steps = state.steps + 1
    taken = int(steps.max())  # several seeds that are trained at once have taken as many
    first = {n: config.beta1 * state.first[n] + (1 - config.beta1) * g for n, g in gradient.items()}
    second = {n: config.beta2 * state.second[n] + (1 - config.beta2) * g.square() for n, g in gradient.items()}
    lr = factor * config.lr / (1 - config.beta1**taken)
    correction = (1 - config.beta2**taken) ** 0.5
    moved = {n: value - lr * first[n] / (second[n].sqrt() / correction + 1e-8) for n, value in theta.items()}
    return moved, AdamState(first, second, steps)


def decayed(decay: str, progress: float) -> float:
    """Factor of a learning rate after a fraction `progress` of all iterations: linear to zero, or one."""
    return 1.0 - progress if decay == "linear" else 1.0


def reptile_step(state: State, away: Params, options: ReptileOptions, progress: float) -> State:
    """theta moved against `away`, its mean difference from the adapted parameters (Nichol et al. 2018, algorithm 2).

    Plain: theta - step_size * away, the step size falling linearly to zero. With Adam the difference takes the place of
    the gradient, as section 2 of the paper suggests.
    """
    theta, factor = state["theta"], decayed(options.adam.decay, progress)
    if options.outer == "plain":
        return {"theta": {name: value - factor * options.step_size * away[name] for name, value in theta.items()}}
    moments = AdamState.from_params(state["optimiser"], theta)
    theta, moments = adam_step(theta, away, moments, options.adam, factor)
    return {"theta": theta, "optimiser": moments.to_params()}


def reptile_state(theta: Params, options: ReptileOptions) -> State:
    """theta, with the moments of Adam where that moves it."""
    if options.outer == "plain":
        return {"theta": theta}
    return {"theta": theta, "optimiser": AdamState.zero(theta).to_params()}


def trust_region_step(
    problem: DistributionalProblem,
    theta: Params,
    supports: list[Any],
    query: Any,
    rule: InnerRule,
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
        return problem.distribution(replay(problem.inner_loss, at, steps_data, rule, tasks), data)

    old: Any = None

    def query_loss(at: Params) -> Tensor:
        nonlocal old
        old = adapted_distribution(at, supports, query)
        return mean_over_tasks(problem.loss_of(old, query))

    with phase("gradient"):
        loss, slopes = gradient_of(query_loss, theta)
        gradient = ravel(slopes)
        old = type(old)(*(part.detach() for part in old))

    with phase("curvature"):
        thin_supports = [problem.thinned(support, region.curvature_stride) for support in supports]
        thin_query = problem.thinned(query, region.curvature_stride)
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


def described(values: Metrics, phase: Phases) -> Metrics:
    """Metrics of an iteration with the seconds of its phases, and the bytes exchanged where there are several ranks.

    Tensors become numbers, but where several seeds are trained at once, each of which has its own.
    """
    seconds = {name: round(seconds, 6) for name, seconds in phase.seconds.items()}
    exchanged = {"exchanged_bytes": phase.exchanged} if any(phase.exchanged.values()) else {}
    numbers = values if seeds_axis() else each(values, Tensor.tolist)
    return {**numbers, "seconds": seconds, **exchanged}


def each(value: Any, change: Callable[[Tensor], Any]) -> Any:
    """Nested metrics with every tensor changed."""
    if isinstance(value, dict):
        return {name: each(entry, change) for name, entry in value.items()}
    if isinstance(value, list):
        return [each(entry, change) for entry in value]
    return change(value) if isinstance(value, Tensor) else value

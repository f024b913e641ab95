"""MAML with a trust-region outer update (Finn, Abbeel and Levine 2017, algorithm 3; TRPO of Schulman et al. 2015)."""

from __future__ import annotations

from typing import Any

import torch

from metarl.config import MamlTrpoConfig
from metarl.inner import InnerRule, adapt_step, replay, stack
from metarl.problem import DistributionalProblem, mean_over_tasks
from metarl.randomness import Key
from metarl.tasks import Tasks, number_of_tasks
from metarl.timing import Phases
from metarl.trust_region import GaussNewton, conjugate_gradient, line_search, ravel
from metarl.types import Params

State = dict[str, Params]
Metrics = dict[str, Any]


def initial_state(theta: Params, config: MamlTrpoConfig) -> State:
    """TRPO carries nothing from one iteration to the next but theta."""
    return {"theta": theta}


def meta_step(
    state: State,
    problem: DistributionalProblem,
    tasks: Tasks,
    key: Key,
    rule: InnerRule,
    config: MamlTrpoConfig,
) -> tuple[State, Metrics]:
    """One outer update of theta on a meta-batch of tasks.

    Every inner step collects fresh support episodes with the parameters adapted so far; the query episodes come
    from the parameters after the last step. The meta-gradient differentiates through all inner steps, and the
    constraint is the KL of the adapted policies on the query data, averaged over tasks.

    Departures: the KL's Hessian is the Gauss-Newton product on every `curvature_stride`-th transition
    (Schulman et al. 2015, appendix C), which only shapes the search direction; loss and KL of the line search
    use all data.
    """
    theta = state["theta"]
    n = number_of_tasks(tasks)
    phase = Phases()

    params = stack(theta, n)
    supports, returns, transitions, collected = [], [], 0, None
    for step in range(config.inner.steps + 1):
        with phase("collect"):
            collected = problem.collect(params, tasks, key.at(step), collected)
            returns.append(float(mean_over_tasks(collected.score)))
            transitions += collected.transitions
        if step < config.inner.steps:
            with phase("adapt"):
                supports.append(collected.data)
                params = adapt_step(problem.inner_loss, params, collected.data, rule, step)
    assert collected is not None
    query = collected.data

    with phase("gradient"):
        leaves = {name: value.detach().requires_grad_() for name, value in theta.items()}
        distribution = problem.distribution(replay(problem.inner_loss, leaves, supports, rule, n), query)
        loss = mean_over_tasks(problem.loss_of(distribution, query))
        gradient = torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, list(leaves.values()))])
        old = type(distribution)(*(part.detach() for part in distribution))

    with phase("curvature"):
        region = config.trust_region
        thin_supports = [problem.thinned(support, region.curvature_stride) for support in supports]
        thin_query = problem.thinned(query, region.curvature_stride)

        def thin_distribution(at: Params) -> Any:
            return problem.distribution(replay(problem.inner_loss, at, thin_supports, rule, n), thin_query)

        fisher = GaussNewton(thin_distribution, theta, thin_query.weights, damping=region.damping)
        direction, image = conjugate_gradient(fisher, gradient, iterations=region.cg_iterations)
        length = torch.sqrt(2 * region.max_kl / (direction @ image).clamp(min=1e-12))

    with phase("line_search"):

        def loss_and_kl(at: Params) -> tuple[torch.Tensor, torch.Tensor]:
            with torch.no_grad():
                new = problem.distribution(replay(problem.inner_loss, at, supports, rule, n), query)
                return (
                    mean_over_tasks(problem.loss_of(new, query)),
                    mean_over_tasks(problem.divergence(new, old, query)),
                )

        found = line_search(
            loss_and_kl,
            theta,
            length * direction,
            loss=loss.item(),
            max_kl=region.max_kl,
            max_backtracks=region.max_backtracks,
            backtrack_ratio=region.backtrack_ratio,
        )

    return {"theta": found.theta}, {
        "return": returns,
        "transitions": transitions,
        "outer_loss": loss.item(),
        "outer_loss_after": found.loss,
        "kl": found.kl,
        "line_search": {"accepted": found.accepted, "backtracks": found.backtracks},
        "gradient_norm": float(gradient.norm()),
        "theta_norm": float(ravel(theta).norm()),
        "seconds": {name: round(seconds, 6) for name, seconds in phase.seconds.items()},
    }

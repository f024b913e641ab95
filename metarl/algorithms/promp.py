"""ProMP (Rothfuss et al. 2019, algorithm 1): several epochs of clipped updates, with a penalty on the inner KL."""

from __future__ import annotations

import torch
from torch import Tensor

from metarl.adaptation import collect_adaptation
from metarl.config import PrompConfig
from metarl.inner import InnerRule, adapt_step, begin
from metarl.outer import AdamState, Metrics, adam_step, decayed, described, gradient_of, norm
from metarl.policies import Distribution
from metarl.problem import ClippedProblem, mean_over_tasks
from metarl.randomness import Key
from metarl.tasks import Tasks, number_of_tasks
from metarl.timing import Phases
from metarl.types import Params, State

SEEDS_AXIS = True


def initial_state(theta: Params, config: PrompConfig) -> State:
    return {"theta": theta, "optimiser": AdamState.zero(theta).to_params()}


def meta_step(
    state: State, problem: ClippedProblem, tasks: Tasks, key: Key, rule: InnerRule, config: PrompConfig, progress: float
) -> tuple[State, Metrics]:
    """`epochs` Adam steps on the clipped query loss of the adapted policies, plus the inner KL (equation 15).

    The clip keeps the adapted policies near those that collected the query data; the penalty keeps the policies of
    every inner step near those that collected its support data, whose likelihood ratios the inner loss uses.
    """
    phase = Phases()
    theta = state["theta"]
    n = number_of_tasks(tasks)
    data = collect_adaptation(problem, theta, tasks, key, rule, config.inner.steps, phase)

    with phase("gradient"):
        collecting: list[Distribution] = []

        def objective(candidate: Params) -> Tensor:
            at, moved = begin(candidate, n), []
            for step, support in enumerate(data.supports):
                policy = problem.distribution(at.params, support)
                if step == len(collecting):  # the first epoch is at the parameters that collected the data
                    collecting.append(type(policy)(*(part.detach() for part in policy)))
                moved.append(problem.divergence(policy, collecting[step], support))
                at = adapt_step(problem.inner_loss, at, support, rule)
            clipped = problem.clipped_loss(at.params, data.query, config.clip)
            return mean_over_tasks(clipped + config.inner_kl_penalty * torch.stack(moved).mean(0))

        moments = AdamState.from_params(state["optimiser"], theta)
        losses = []
        for _ in range(config.epochs):
            loss, gradient = gradient_of(objective, theta)
            losses.append(loss)
            theta, moments = adam_step(theta, gradient, moments, config.adam, decayed(config.adam.decay, progress))

    metrics = {
        **data.measured(),
        "outer_loss": losses[0],
        "outer_loss_before_last_epoch": losses[-1],
        "gradient_norm": norm(gradient),
    }
    return {"theta": theta | data.remembered, "optimiser": moments.to_params()}, described(metrics, phase)

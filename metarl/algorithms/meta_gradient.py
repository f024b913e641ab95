"""Gradients of losses of adapted parameters with respect to theta."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from metarl.adaptation.adapter import GradientAdapter, replay_steps
from metarl.adaptation.problem import SampledProblem
from metarl.core.collectives import global_num_tasks, repeat_per_task, sum_over_tasks
from metarl.core.params import Params


def requires_grad(theta: Params) -> Params:
    """Detached copies of theta with requires_grad=True."""
    return {name: value.detach().requires_grad_() for name, value in theta.items()}


def grad(value: Tensor, leaves: Params) -> Params:
    """Gradient of a scalar with respect to leaves; zero for those that it does not depend on.

    With a seed axis there is one scalar per seed, and cross-seed gradients are zero.
    """
    slopes = torch.autograd.grad(value.sum(), list(leaves.values()), materialize_grads=True)
    return dict(zip(leaves, slopes, strict=True))


def value_and_grad(loss: Callable[[Params], Tensor], theta: Params) -> tuple[Tensor, Params]:
    """Value and gradient of a scalar function of theta."""
    leaves = requires_grad(theta)
    value = loss(leaves)
    return value.detach(), grad(value, leaves)


def score_function_term(
    problem: SampledProblem, theta: Params, supports: list[Any], objective: Tensor, adapter: GradientAdapter
) -> Float[Tensor, " tasks"]:
    """The part of the meta-gradient that comes from theta choosing the support data (Stadie et al. 2018, equation 4).

    -(objective - baseline) log p(supports), the query data's objective credited to all support actions; the baseline
    is the mean objective of the other tasks, which does not depend on a task's own data.
    """
    n, everyones = global_num_tasks(len(objective)), repeat_per_task(sum_over_tasks(objective), len(objective))
    advantage = (objective - (everyones - objective) / (n - 1)) if n > 1 else objective
    states = replay_steps(problem.inner_loss, theta, supports, adapter, len(objective))
    log_likelihood = torch.zeros_like(objective)
    for support, state in zip(supports, states, strict=False):
        log_likelihood = log_likelihood + problem.log_likelihood(state.params, support)
    return -advantage.detach() * log_likelihood

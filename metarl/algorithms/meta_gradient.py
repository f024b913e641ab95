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

ROUNDING = 1e-5
"""A deviation of objectives below this part of their mean counts as rounding."""


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

    -credit * log p(supports), where log p is the mean over the actions of each step, summed over the steps, and the
    credit is the query data's objective, standardised over the meta-batch. Its gradient is that of
    -(objective - baseline) * log p(actions) times a positive number that all tasks share where they have equally many
    support actions; the baseline is the mean objective of the other tasks. For a single task it is zero.
    """
    credit = standardised_over_tasks(objective)
    states = replay_steps(problem.inner_loss, theta, supports, adapter, len(objective))
    log_likelihood = torch.zeros_like(objective)
    for support, state in zip(supports, states, strict=False):
        log_likelihood = log_likelihood + problem.log_likelihood(state.params, support)
    return -credit * log_likelihood


def standardised_over_tasks(values: Float[Tensor, " tasks"]) -> Float[Tensor, " tasks"]:
    """(value - mean) / deviation, both over all tasks of the meta-batch, of all ranks; not to be differentiated.

    Zero where all values are the same.
    """
    n = global_num_tasks(len(values))
    mean = repeat_per_task(sum_over_tasks(values) / n, len(values))
    centred = values.detach() - mean
    deviation = repeat_per_task((sum_over_tasks(centred.square()) / n).sqrt(), len(values))
    return centred / torch.maximum(deviation, ROUNDING * mean.abs()).clamp(min=torch.finfo(values.dtype).tiny)

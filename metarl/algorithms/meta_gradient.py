"""Gradients with respect to theta of losses of adapted parameters."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from metarl.adaptation.adapter import GradientAdapter, replay_steps
from metarl.adaptation.problem import SampledProblem
from metarl.adaptation.recompute import recomputed
from metarl.core.collectives import global_num_tasks, repeat_per_task, sum_over_tasks
from metarl.core.params import Params, TaskParams

ROUNDING = 1e-5
"""A standard deviation of objectives below this fraction of their mean counts as rounding."""


def requires_grad(theta: Params) -> Params:
    """Detached copies of theta with requires_grad=True."""
    return {name: value.detach().requires_grad_() for name, value in theta.items()}


def grad(value: Tensor, leaves: Params) -> Params:
    """Gradient of a scalar with respect to leaves; zero for leaves that do not affect it.

    With a seed axis there is one scalar per seed; cross-seed gradients are zero.

    Args:
        value: The scalar, or one scalar per seed.
        leaves: Tensors that require gradients.
    """
    slopes = torch.autograd.grad(value.sum(), list(leaves.values()), materialize_grads=True)
    return dict(zip(leaves, slopes, strict=True))


def value_and_grad(loss: Callable[[Params], Tensor], theta: Params) -> tuple[Tensor, Params]:
    """Value and gradient of a scalar function of theta.

    Args:
        loss: The function; with a seed axis it returns one scalar per seed.
        theta: The parameters.

    Example:
        >>> value_and_grad(lambda theta: (theta["x"] ** 2).sum(), {"x": torch.tensor([3.0])})
        (tensor(9.), {'x': tensor([6.])})
    """
    leaves = requires_grad(theta)
    value = loss(leaves)
    return value.detach(), grad(value, leaves)


def score_function_term(
    problem: SampledProblem, theta: Params, supports: list[Any], objective: Tensor, adapter: GradientAdapter
) -> Float[Tensor, " tasks"]:
    """Loss term for the dependence of the support data on theta (E-MAML, Stadie et al. 2018, equation 4).

    The term is -credit * log p(supports). Here log p is the mean over the actions of each step, summed over steps, and
    the credit is the objective of the query data, standardised over the meta-batch. The paper's term is
    -(objective - baseline) * log p(actions); with the mean objective of the other tasks as baseline, the gradients
    differ by a positive factor. All tasks share this factor if they have equally many support actions. For a single
    task the term is zero.

    Args:
        problem: Defines inner loss and log-likelihood.
        theta: The initialisation, which requires gradients.
        supports: The data of each inner step.
        objective: Objective of the query data.
        adapter: The inner loop.
    """
    credit = standardised_over_tasks(objective)
    states = replay_steps(problem.inner_loss, theta, supports, adapter, len(objective))
    log_likelihood = torch.zeros_like(objective)

    def likelihood(params: TaskParams, support: Any) -> tuple[TaskParams]:
        return ({"log_likelihood": problem.log_likelihood(params, support)},)

    for support, state in zip(supports, states, strict=False):
        (found,) = recomputed(partial(likelihood, support=support), state.params, when=adapter.checkpointing)
        log_likelihood = log_likelihood + found["log_likelihood"]
    return -credit * log_likelihood


def standardised_over_tasks(values: Float[Tensor, " tasks"]) -> Float[Tensor, " tasks"]:
    """(value - mean) / standard deviation over the meta-batch of all ranks, detached; zero if all values are equal."""
    n = global_num_tasks(len(values))
    mean = repeat_per_task(sum_over_tasks(values) / n, len(values))
    centred = values.detach() - mean
    deviation = repeat_per_task((sum_over_tasks(centred.square()) / n).sqrt(), len(values))
    return centred / torch.maximum(deviation, ROUNDING * mean.abs()).clamp(min=torch.finfo(values.dtype).tiny)

"""ProMP (Rothfuss et al. 2019, algorithm 1): several epochs of clipped updates with a penalty on the inner KL."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from metarl.adaptation.adapter import GradientAdapter, replay_steps
from metarl.adaptation.collect import collect_adaptation
from metarl.adaptation.problem import ClippedProblem, Distribution
from metarl.adaptation.recompute import recomputed
from metarl.algorithms.adam import AdamState, adam_state, adam_step, scheduled
from metarl.algorithms.meta_gradient import value_and_grad
from metarl.algorithms.metrics import Metrics, norm, to_metrics
from metarl.config.algorithms import PrompConfig
from metarl.core.collectives import mean_over_tasks
from metarl.core.params import Params, State, TaskParams
from metarl.core.prng import Key
from metarl.core.timing import Phases
from metarl.families.tasks import Tasks, number_of_tasks

SEEDS_AXIS = True


def initial_state(theta: Params, config: PrompConfig) -> State:
    """theta, and Adam's moments."""
    return adam_state(theta)


def meta_step(
    state: State,
    problem: ClippedProblem,
    tasks: Tasks,
    key: Key,
    adapter: GradientAdapter,
    config: PrompConfig,
    progress: float,
) -> tuple[State, Metrics]:
    """`epochs` Adam steps on the clipped query loss of the adapted policies, plus a penalty on the inner KL (eq. 15).

    The clip limits the distance of the adapted policies from those that collected the query data. The penalty limits
    the distance of the policies of every inner step from those that collected its support data, since the inner loss
    uses their likelihood ratios.

    Args:
        state: theta and Adam's moments.
        problem: Collects the data and defines the losses.
        tasks: The meta-batch, or this rank's share of it.
        key: Position of the random numbers.
        adapter: The inner loop.
        config: Options of the outer update.
        progress: Fraction of all iterations that are completed.

    Returns:
        The new state, and metrics.
    """
    phase = Phases()
    theta = state["theta"]
    n = number_of_tasks(tasks)
    data = collect_adaptation(problem, theta, tasks, key, adapter, config.inner.steps, phase)

    with phase("gradient"):
        collecting: list[Distribution] = []

        def divergence(params: TaskParams, step: int) -> tuple[TaskParams]:
            support = data.supports[step]
            policy = problem.distribution(params, support)
            if step == len(collecting):  # in the first epoch the parameters are those that collected the data
                collecting.append(type(policy)(*(part.detach() for part in policy)))
            return ({"kl": problem.divergence(policy, collecting[step], support)},)

        def objective(candidate: Params) -> Tensor:
            states = replay_steps(problem.inner_loss, candidate, data.supports, adapter, n)
            moved = []
            for step, state in zip(range(len(data.supports)), states, strict=False):
                (found,) = recomputed(partial(divergence, step=step), state.params, when=adapter.checkpointing)
                moved.append(found["kl"])
            clipped = problem.clipped_loss(next(states).params, data.query, config.clip)
            return mean_over_tasks(clipped + config.inner_kl_penalty * torch.stack(moved).mean(0))

        moments = AdamState.from_params(state["optimiser"], theta)
        losses = []
        for _ in range(config.epochs):
            loss, gradient = value_and_grad(objective, theta)
            losses.append(loss)
            theta, moments = adam_step(
                theta, gradient, moments, config.adam, scheduled(config.adam, progress, config.iterations)
            )

    metrics = {
        **data.metrics(),
        "outer_loss": losses[0],
        "outer_loss_before_last_epoch": losses[-1],
        "gradient_norm": norm(gradient),
    }
    return {"theta": theta | data.carried, "optimiser": moments.to_params()}, to_metrics(metrics, phase)

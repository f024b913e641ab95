"""RL2 (Duan et al. 2016, Wang et al. 2016): a policy with memory learns by PPO over whole trials.

A trial is several episodes of one task. The objective is the sum of rewards over the trial, so returns and advantages
run through the ends of its episodes, and a policy gains by exploring early.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from metarl.adaptation.adapter import Adapter
from metarl.adaptation.collect import collect_adaptation
from metarl.adaptation.memory import Reading, TrialProblem, Trials
from metarl.algorithms.adam import AdamState, adam_state, adam_step, decayed
from metarl.algorithms.meta_gradient import value_and_grad
from metarl.algorithms.metrics import Metrics, norm, to_metrics
from metarl.config.memory import PpoConfig, Rl2Config
from metarl.core.collectives import global_num_tasks, mean_over_tasks, shared_by_ranks, sum_over_tasks
from metarl.core.params import Params, State
from metarl.core.prng import Key
from metarl.core.timing import Phases
from metarl.families.tasks import Tasks

SEEDS_AXIS = False
"""Seeds train one after another: they share no parameters that one recurrent layer could read."""


class Targets(NamedTuple):
    """What PPO's losses compare with, at every step."""

    advantages: Float[Tensor, "tasks trials steps"]
    returns: Float[Tensor, "tasks trials steps"]
    values: Float[Tensor, "tasks trials steps"]
    """Values at the parameters that collected the trials."""

    def only(self, trials: Tensor) -> Targets:
        """The targets of the trials of these numbers, of every task."""
        return Targets._make(part[:, trials] for part in self)


def initial_state(theta: Params, config: Rl2Config) -> State:
    """theta, Adam's moments, and the scale of rewards after no steps."""
    scale = {name: torch.zeros((), dtype=torch.float64) for name in ("steps", "squares")}
    return adam_state(theta) | {"rewards": scale}


def meta_step(
    state: State,
    problem: TrialProblem,
    tasks: Tasks,
    key: Key,
    adapter: Adapter,
    config: Rl2Config,
    progress: float,
) -> tuple[State, Metrics]:
    """Collect trials of every task, then `epochs` passes of Adam steps on PPO's losses over minibatches of trials.

    Args:
        state: theta, Adam's moments, and the scale of rewards.
        problem: Collects the episodes and reads trials.
        tasks: The meta-batch, or this rank's share of it.
        key: Position of the random numbers.
        adapter: Carries the memory from episode to episode.
        config: Options of the update.
        progress: Fraction of all iterations that are completed.

    Returns:
        The new state, and metrics.
    """
    phase, ppo, theta = Phases(), config.ppo, state["theta"]
    data = collect_adaptation(problem, theta, tasks, key, adapter, config.inner.steps, phase)

    with phase("read"), torch.no_grad():
        trials = problem.joined([*data.supports, data.query])
        chunks = None if ppo.chunk is None else problem.chunks(theta, trials, ppo.chunk)
        before = problem.read(theta, trials, chunks)
        scale = reward_scale(state["rewards"], trials, config.gamma) if ppo.normalise_rewards else state["rewards"]
        targets = targets_of(trials, before, config, _divisor(scale) if ppo.normalise_rewards else 1.0)

    with phase("gradient"):
        moments = AdamState.from_params(state["optimiser"], theta)
        number, rate, sums = trials.mask.shape[1], decayed(config.adam.decay, progress), torch.zeros(3)
        for epoch in range(ppo.epochs):
            order = torch.from_numpy(key.at("minibatches", epoch).generator().permutation(number))
            for chosen in order.tensor_split(ppo.minibatches):
                part, wanted = trials.only(chosen), targets.only(chosen)
                cuts = None if chunks is None else chunks.only(chosen)
                losses: list[Tensor] = []

                def loss(at: Params) -> Tensor:
                    losses[:] = ppo_losses(problem.read(shared_by_ranks(at), part, cuts), part, wanted, ppo)  # noqa: B023
                    policy, value, entropy = losses  # noqa: B023
                    return policy + ppo.value_weight * value - ppo.entropy_weight * entropy

                _, gradient = value_and_grad(loss, theta)
                size = norm(gradient)
                shrunk = (ppo.max_gradient_norm / (size + 1e-6)).clamp(max=1.0)
                gradient = {name: shrunk * value for name, value in gradient.items()}
                theta, moments = adam_step(theta, gradient, moments, config.adam, rate)
                sums = sums + torch.stack([part.detach().cpu() for part in losses])
        means = sums / (ppo.epochs * ppo.minibatches)

    metrics = {
        **data.metrics(),
        "outer_loss": means[0],
        "value_loss": means[1],
        "entropy": means[2],
        "gradient_norm": size,
    }
    found = {"theta": theta | data.carried, "optimiser": moments.to_params(), "rewards": scale}
    return found, to_metrics(metrics, phase)


def reward_scale(before: Params, trials: Trials, gamma: float) -> Params:
    """Number of steps so far, and the sum over them of the squared discounted returns to the trial's end."""
    squares = (_discounted(trials.rewards, gamma).square() * trials.mask).sum((1, 2))
    steps = trials.mask.sum((1, 2))
    return {
        "steps": before["steps"] + sum_over_tasks(steps).double(),
        "squares": before["squares"] + sum_over_tasks(squares.double()),
    }


def _divisor(scale: Params) -> Tensor:
    """Root mean square of the discounted returns; one where all are zero."""
    mean = scale["squares"] / scale["steps"]
    return torch.where(mean > 0, mean, 1.0).sqrt()


def targets_of(trials: Trials, before: Reading, config: Rl2Config, divisor: Tensor | float) -> Targets:
    """Advantages (Schulman et al. 2016, equation 16) and returns of every step, through the ends of episodes.

    A trial has no value after its end: it is the horizon of the objective. Advantages are standardised over all steps
    of the meta-batch.

    Args:
        trials: The trials.
        before: What the policy that collected them makes of them.
        config: Discount factor and lambda.
        divisor: Divides the rewards.
    """
    mask = trials.mask.to(before.values.dtype)
    values = before.values * mask
    following = torch.cat([values[..., 1:], torch.zeros_like(values[..., :1])], -1)
    rewards = trials.rewards / torch.as_tensor(divisor, dtype=values.dtype)
    deltas = (rewards + config.gamma * following - values) * mask
    advantages = _discounted(deltas, config.gamma * config.gae_lambda) * mask
    steps = sum_over_tasks(mask.sum((1, 2)))
    centred = (advantages - sum_over_tasks(advantages.sum((1, 2))) / steps) * mask
    deviation = (sum_over_tasks(centred.square().sum((1, 2))) / steps).sqrt()
    return Targets(centred / (deviation + 1e-8), advantages + values, values)


def _discounted(values: Float[Tensor, "tasks trials steps"], discount: float) -> Float[Tensor, "tasks trials steps"]:
    """Sum over k >= 0 of discount^k values[t + k], for every t."""
    total, sums = torch.zeros_like(values[..., 0]), torch.empty_like(values)
    for t in reversed(range(values.shape[-1])):
        total = values[..., t] + discount * total
        sums[..., t] = total
    return sums


def ppo_losses(now: Reading, trials: Trials, targets: Targets, ppo: PpoConfig) -> tuple[Tensor, Tensor, Tensor]:
    """PPO's clipped policy loss and clipped value loss, and the entropy: means over all steps of the meta-batch.

    The policy loss is that of Schulman et al. (2017, equation 7). The value loss is half the larger of two squared
    errors: of the value, and of the value moved by at most `clip` from that before the update.

    Args:
        now: What the policy makes of the trials.
        trials: The trials, with the log-probabilities at which they were collected.
        targets: Advantages, returns, and values before the update.
        ppo: The clip range.
    """
    ratio = torch.exp((now.log_probs - trials.log_probs).masked_fill(~trials.mask, 0))
    clipped = ratio.clamp(1 - ppo.clip, 1 + ppo.clip)
    gain = torch.minimum(ratio * targets.advantages, clipped * targets.advantages)
    near = targets.values + (now.values - targets.values).clamp(-ppo.clip, ppo.clip)
    error = torch.maximum((now.values - targets.returns).square(), (near - targets.returns).square())
    steps = sum_over_tasks(trials.mask.sum((1, 2))).to(gain.dtype)
    weights = trials.mask.to(gain.dtype) * global_num_tasks(len(trials.mask)) / steps
    means = [mean_over_tasks((part * weights).sum((1, 2))) for part in (-gain, 0.5 * error, now.entropy)]
    return means[0], means[1], means[2]

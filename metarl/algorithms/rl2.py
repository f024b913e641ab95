"""RL2 (Duan et al. 2016, Wang et al. 2016): a policy with memory learns by PPO over whole trials.

A trial is several episodes of one task. The objective is the sum of rewards over the trial, so returns and advantages
run through the ends of its episodes, and a policy gains by exploring early.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from metarl.adaptation.adapter import Adapter
from metarl.adaptation.collect import collect_adaptation
from metarl.adaptation.memory import Reading, TrialProblem, Trials
from metarl.algorithms.adam import AdamState, adam_state, adam_step, scheduled
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


FADING = 0.9
"""Weight of the returns of the last iteration beside those of this one."""

ROUNDING = 1e-12
"""A variance below this fraction of the mean square counts as rounding."""


class Units(NamedTuple):
    """What the value function's output is measured in: return = mean + scale * output.

    A value is the return that is left of a trial, so most of it follows from the step. Adam moves outputs by steps of
    one size, whatever their scale; where the network had to represent that part as well, these steps were larger than
    the differences between actions.
    """

    mean: Float[Tensor, " steps"] | float
    """Mean return at each step of the trial."""
    scale: Float[Tensor, ""] | float
    """Standard deviation around it."""


RAW = Units(0.0, 1.0)
"""Values are returns."""


class Targets(NamedTuple):
    """What PPO's losses compare with, at every step."""

    advantages: Float[Tensor, "tasks trials steps"]
    returns: Float[Tensor, "tasks trials steps"]
    """In `Units`, as the values."""
    values: Float[Tensor, "tasks trials steps"]
    """Values at the parameters that collected the trials."""

    def only(self, trials: Tensor) -> Targets:
        """The targets of the trials of these numbers, of every task."""
        return Targets._make(part[:, trials] for part in self)


def initial_state(theta: Params, config: Rl2Config) -> State:
    """theta, Adam's moments, and the statistics of returns after no steps."""
    none = torch.zeros(0, dtype=torch.float64)
    return adam_state(theta) | {"returns": {"steps": none, "sums": none.clone(), "squares": none.clone()}}


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
        state: theta, Adam's moments, and the statistics of returns.
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
        statistics = updated(state["returns"], trials, config.gamma)
        units = value_units(statistics, trials.mask.shape[-1]) if ppo.normalise_returns else RAW
        targets = targets_of(trials, before, config, units)

    with phase("gradient"):
        moments = AdamState.from_params(state["optimiser"], theta)
        number, rate, sums = trials.mask.shape[1], scheduled(config.adam, progress, config.iterations), torch.zeros(3)
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
    found = {"theta": theta | data.carried, "optimiser": moments.to_params(), "returns": statistics}
    return found, to_metrics(metrics, phase)


def updated(before: Params, trials: Trials, gamma: float) -> Params:
    """Sums over steps, returns and squared returns at each step of the trial, in which older iterations fade.

    A return is the discounted sum of rewards to the trial's end.

    Args:
        before: The sums of earlier iterations, of the longest trial so far.
        trials: The trials of this iteration.
        gamma: Discount factor.
    """
    mask = trials.mask.double()
    returns = _discounted(trials.rewards * trials.mask, gamma) * mask
    length = max(len(before["steps"]), mask.shape[-1])

    def added(name: str, values: Tensor) -> Tensor:
        now = sum_over_tasks(values.sum(1)).cpu()
        return FADING * pad(before[name].cpu(), (0, length - len(before[name]))) + pad(now, (0, length - len(now)))

    return {name: added(name, v) for name, v in {"steps": mask, "sums": returns, "squares": returns.square()}.items()}


def value_units(statistics: Params, steps: int) -> Units:
    """Mean return at each step of the trial, and the standard deviation around these means; one where it is zero."""
    number, sums, squares = (statistics[name] for name in ("steps", "sums", "squares"))
    mean = sums / number.clamp(min=torch.finfo(number.dtype).tiny)
    variance = ((squares - sums * mean).sum() / number.sum()).clamp(min=0)
    negligible = variance <= ROUNDING * squares.sum() / number.sum()
    return Units(mean[:steps], torch.where(negligible, 1.0, variance).sqrt())


def targets_of(trials: Trials, before: Reading, config: Rl2Config, units: Units) -> Targets:
    """Advantages (Schulman et al. 2016, equation 16) and returns of every step, through the ends of episodes.

    A trial has no value after its end: it is the horizon of the objective. Advantages are standardised over all steps
    of the meta-batch.

    Args:
        trials: The trials.
        before: What the policy that collected them makes of them.
        config: Discount factor and lambda.
        units: What values are measured in.
    """
    mask = trials.mask.to(before.values.dtype)
    mean, scale = (torch.as_tensor(part).to(mask) for part in units)
    values = (mean + scale * before.values) * mask
    following = torch.cat([values[..., 1:], torch.zeros_like(values[..., :1])], -1)
    deltas = (trials.rewards + config.gamma * following - values) * mask
    advantages = _discounted(deltas, config.gamma * config.gae_lambda) * mask
    steps = sum_over_tasks(mask.sum((1, 2)))
    centred = (advantages - sum_over_tasks(advantages.sum((1, 2))) / steps) * mask
    deviation = (sum_over_tasks(centred.square().sum((1, 2))) / steps).sqrt()
    return Targets(centred / (deviation + 1e-8), (advantages + values - mean) / scale * mask, before.values * mask)


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

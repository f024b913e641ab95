"""Collecting episodes of every task at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from metarl.errors import Divergence, EnvironmentFault
from metarl.lanes import Lanes
from metarl.policies import Policy
from metarl.randomness import Key, noise_seeds, normal, uniform
from metarl.threads import torch_threads
from metarl.types import Episodes, TaskParams


def rollout(
    lanes: Lanes,
    policy: Policy,
    params: TaskParams,
    key: Key,
    *,
    horizon: int,
    first_episode: int = 0,
    active: Bool[Tensor, " tasks"] | None = None,
) -> Episodes:
    """One episode in every lane, from reset to its end or the horizon; lanes that ended are masked.

    Tasks that are not `active` are masked throughout (default: all are active).

    The noise of an episode depends on `key`, its task's index and its own index, counted from `first_episode`.
    Raises EnvironmentFault where an observation or a reward is not finite.
    """
    shape = (lanes.tasks, lanes.episodes)
    seeds = key.at("environment").lane_seeds(*shape, first_episode=first_episode, device=lanes.device)
    lane_seeds = key.at("policy").lane_seeds(*shape, first_episode=first_episode, device=lanes.device)
    draw = normal if policy.noise == "normal" else uniform
    noise = draw(noise_seeds(lane_seeds, horizon, policy.noise_components)).to(lanes.dtype)

    running = torch.ones(shape, dtype=torch.bool, device=lanes.device)
    if active is not None:
        running = running & active[:, None]
    observations, actions, distributions, rewards, masks = [], [], [], [], []
    successes: list[Tensor | None] = []
    with torch.no_grad(), torch_threads(lanes.torch_threads):
        observation = lanes.reset(seeds)
        for t in range(horizon):
            distribution, _ = policy.act(params, observation)
            action = distribution.sample(noise[t])
            observations.append(observation)
            actions.append(action)
            distributions.append(distribution)
            masks.append(running)
            observation, reward, ended = lanes.step(action)
            rewards.append(reward)
            successes.append(lanes.succeeded)
            running = running & ~ended
            # Asking costs a synchronisation on an accelerator; here it saves the rest of the horizon.
            if lanes.device.type == "cpu" and not running.any():
                break
    mask, chosen = torch.stack(masks, 2), torch.stack(actions, 2)
    # Of all steps at once: what is small costs by the operation.
    acted = type(distributions[0])._make(torch.stack(field, 2) for field in zip(*distributions, strict=True))
    episodes = Episodes(
        torch.stack(observations, 2),
        chosen,
        acted.log_prob(chosen),
        torch.stack(rewards, 2),
        mask,
        _stacked(successes),
    )
    _check_finite(episodes)
    if not bool(mask.all()):
        # An accelerator has gone on to the horizon; the shape is that of any other device.
        steps = int(mask.any(1).any(0).sum())
        episodes = zero_masked(episodes.each(lambda x: x[:, :, :steps]))
    return episodes


def collect(
    lanes: Lanes,
    policy: Policy,
    params: TaskParams,
    key: Key,
    *,
    horizon: int,
    episodes: int | None = None,
    transitions: int | None = None,
) -> Episodes:
    """Episodes of every task until the budget is used: a number of episodes, or of transitions in each task.

    A budget in transitions is met by whole episodes: every task goes on, a round of lanes at a time, until
    it has at least that many, and an episode that was begun is kept whatever its length, so short ones are
    not favoured. Tasks that need fewer episodes than others are padded with rows that hold none.
    """
    rounds = [rollout(lanes, policy, params, key, horizon=horizon)]
    if transitions is None:
        wanted = lanes.episodes if episodes is None else episodes
        while len(rounds) * lanes.episodes < wanted:
            rounds.append(
                rollout(lanes, policy, params, key, horizon=horizon, first_episode=len(rounds) * lanes.episodes)
            )
        return joined(rounds).each(lambda x: x[:, :wanted])
    collected = rounds[0].mask.sum((1, 2))
    while bool((collected < transitions).any()):
        offset = len(rounds) * lanes.episodes
        wanting = collected < transitions
        more = rollout(lanes, policy, params, key, horizon=horizon, first_episode=offset, active=wanting)
        # Within a round a task takes episodes only until its budget is met.
        lengths = more.mask.sum(2)
        before = collected[:, None] + lengths.cumsum(1) - lengths
        more = zero_masked(more._replace(mask=more.mask & (before < transitions)[..., None]))
        collected = collected + more.mask.sum((1, 2))
        rounds.append(more)
    return _drop_empty_episodes(joined(rounds))


def mean_returns(episodes: Episodes) -> Float[Tensor, " tasks"]:
    """Mean undiscounted return of each task's episodes; those that ended early count with what they had."""
    return episodes.returns.nanmean(1)


def success_rates(episodes: Episodes) -> Float[Tensor, " tasks"] | None:
    """Share of each task's episodes that were successful at any of their steps; None where nothing is known of it."""
    if episodes.successes is None:
        return None
    reached = (episodes.successes & episodes.mask).any(2)
    return reached.sum(1) / episodes.mask[..., 0].sum(1)


def padded(episodes: Episodes, number: int, steps: int) -> Episodes:
    """The same with rows that hold no episode and steps beyond the end, up to `number` episodes of `steps` steps."""
    tasks, have, long = episodes.mask.shape
    if (have, long) == (number, steps):
        return episodes

    def larger(x: Tensor) -> Tensor:
        room = x.new_zeros(tasks, number, steps, *x.shape[3:])
        room[:, :have, :long] = x
        return room

    return episodes.each(larger)


def with_successes(episodes: Episodes) -> Episodes:
    """The same, where nothing is known of success without any."""
    known = episodes.successes is not None
    return episodes if known else episodes._replace(successes=torch.zeros_like(episodes.mask))


def zero_masked(episodes: Episodes) -> Episodes:
    """The same with zeros where the mask is False."""

    def zeroed(x: Tensor) -> Tensor:
        hidden = ~episodes.mask
        return x.masked_fill(hidden.reshape(*hidden.shape, *[1] * (x.ndim - hidden.ndim)), 0)

    return episodes.each(zeroed)


def joined(rounds: Sequence[Episodes]) -> Episodes:
    """The episodes of several rounds one after another; shorter ones get masked steps."""
    if len(rounds) == 1:
        return rounds[0]
    steps = max(part.mask.shape[2] for part in rounds)
    if any(part.successes is not None for part in rounds):
        rounds = [with_successes(part) for part in rounds]
    fields = zip(*(padded(part, part.mask.shape[1], steps) for part in rounds), strict=True)
    return Episodes._make(None if parts[0] is None else torch.cat(parts, 1) for parts in fields)


def _stacked(flags: list[Tensor | None]) -> Bool[Tensor, "tasks episodes steps"] | None:
    """Flags of one step after another; a step without any among others with some has none that is up."""
    known = next((x for x in flags if x is not None), None)
    return None if known is None else torch.stack([torch.zeros_like(known) if x is None else x for x in flags], 2)


def _drop_empty_episodes(episodes: Episodes) -> Episodes:
    """Pack each task's episodes to the front and drop the rows that no task uses."""
    used = episodes.mask[..., 0]
    order = torch.argsort(used.to(torch.int8), dim=1, descending=True, stable=True)[:, : int(used.sum(1).max())]
    rows = torch.arange(len(order), device=order.device)[:, None]
    return episodes.each(lambda x: x[rows, order])


def _check_finite(episodes: Episodes) -> None:
    """Name the earliest action, observation or reward that is not finite, and whose fault it is."""
    summary = episodes.observations.sum() + episodes.rewards.sum() + episodes.log_probs.sum()
    if bool(torch.isfinite(summary)):
        return
    fields = {
        "observation": episodes.observations,
        "policy's action": episodes.log_probs[..., None],
        "reward": episodes.rewards[..., None],
    }
    first: tuple[int, str, int, int] | None = None
    for field, values in fields.items():
        bad = ~torch.isfinite(values).all(-1) & episodes.mask
        if bool(bad.any()):
            step, task, episode = (int(i) for i in bad.permute(2, 0, 1).nonzero()[0])
            if first is None or step < first[0]:
                first = (step, field, task, episode)
    if first is None:
        return
    step, field, task, episode = first
    place = f"{field} is not finite at task {task}, episode {episode}, step {step}"
    if field == "policy's action":
        raise Divergence(f"{place}: the parameters diverged; try a smaller inner lr", task)
    raise EnvironmentFault(place)

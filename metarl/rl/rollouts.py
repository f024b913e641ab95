"""Collection of episodes of all tasks at once."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from metarl.core.errors import ConfigError, Divergence, EnvironmentFault
from metarl.core.machine import torch_threads
from metarl.core.params import TaskParams, tree_where
from metarl.core.prng import Key, noise_seeds, normal, uniform
from metarl.families.vec_env import VecEnv
from metarl.rl.data import Episodes, concatenate_rounds, zero_masked
from metarl.rl.policies import Policy


def rollout(
    envs: VecEnv,
    policy: Policy,
    params: TaskParams,
    key: Key,
    *,
    horizon: int,
    first_episode: int = 0,
    active: Bool[Tensor, " tasks"] | None = None,
) -> Episodes:
    """Collect one episode in every sub-environment, from reset to its end or the horizon; later steps are masked.

    The random numbers of an episode depend only on the key, the index of its task, and its own index.

    Args:
        envs: The vector environment.
        policy: The policy.
        params: Parameters with a leading `tasks` axis.
        key: Position of the random numbers.
        horizon: Steps after which an episode is truncated.
        first_episode: Index of the first episode of each task.
        active: Tasks whose episodes are kept; those of other tasks are masked completely (default: all tasks).

    Raises:
        EnvironmentFault: An observation or a reward is not finite.
        Divergence: An action is not finite.

    Example:
        >>> import numpy as np
        >>> from metarl.families import load_family, make_vec_env
        >>> from metarl.rl import make_policy
        >>> family = load_family("navigation2d")
        >>> policy = make_policy(family.observation_space, family.action_space, hidden_sizes=(4,))
        >>> tasks = family.sample_tasks(3, "meta-train", np.random.default_rng(0))
        >>> envs = make_vec_env(family, tasks, 2, device="cpu", dtype=torch.float64)
        >>> theta = policy.initialise(Key.from_seed(1))
        >>> params = {name: value.expand(3, *value.shape) for name, value in theta.items()}
        >>> rollout(envs, policy, params, Key.from_seed(2), horizon=5).rewards.shape
        torch.Size([3, 2, 5])
    """
    return rollout_with_memory(
        envs, policy, params, key, None, horizon=horizon, first_episode=first_episode, active=active
    )[0]


def rollout_with_memory(
    envs: VecEnv,
    policy: Policy,
    params: TaskParams,
    key: Key,
    memory: Any,
    *,
    horizon: int,
    first_episode: int = 0,
    active: Bool[Tensor, " tasks"] | None = None,
) -> tuple[Episodes, Any]:
    """`rollout` with an initial memory of the policy; returns the episodes and the final memory.

    A memory is a tensor (tasks, episodes, ...), or a dictionary or tuple of such tensors. None denotes the policy's own
    initial memory, or no memory. After the end of an episode its memory does not change. A policy with a method
    `remember(memory, action, reward, end)` also keeps what follows an observation.
    """
    shape = (envs.tasks, envs.episodes)
    seeds = key.at("environment").env_seeds(*shape, first_episode=first_episode, device=envs.device)
    env_seeds = key.at("policy").env_seeds(*shape, first_episode=first_episode, device=envs.device)
    draw = normal if policy.noise == "normal" else uniform
    noise = draw(noise_seeds(env_seeds, horizon, policy.noise_components)).to(envs.dtype)

    running = torch.ones(shape, dtype=torch.bool, device=envs.device)
    if active is not None:
        running = running & active[:, None]
    remember = getattr(policy, "remember", None)
    observations, actions, distributions, rewards, masks = [], [], [], [], []
    successes: list[Tensor | None] = []
    with torch.no_grad(), torch_threads(envs.torch_threads):
        observation = envs.reset(seeds)
        for t in range(horizon):
            distribution, after = policy.act(params, observation, memory)
            memory = after if memory is None or after is None else tree_where(running, after, memory)
            action = distribution.sample(noise[t])
            observations.append(observation)
            actions.append(action)
            distributions.append(distribution)
            masks.append(running)
            observation, reward, ended = envs.step(action)
            if memory is not None and remember is not None:
                over = ended if t + 1 < horizon else torch.ones_like(ended)
                memory = tree_where(running, remember(memory, action, reward, over), memory)
            rewards.append(reward)
            successes.append(envs.succeeded)
            running = running & ~ended
            # Only on the CPU, since the test would synchronise an accelerator at every step.
            if envs.device.type == "cpu" and not running.any():
                break
    mask, chosen = torch.stack(masks, 2), torch.stack(actions, 2)
    # One log_prob call for all steps, since the overhead dominates small calls.
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
        # On a GPU the loop always runs to the horizon; trim to the CPU's shape.
        steps = int(mask.any(1).any(0).sum())
        episodes = zero_masked(episodes.map(lambda x: x[:, :, :steps]))
    return episodes, memory


def collect(
    envs: VecEnv,
    policy: Policy,
    params: TaskParams,
    key: Key,
    *,
    horizon: int,
    episodes: int | None = None,
    transitions: int | None = None,
) -> Episodes:
    """Collect episodes of every task until a budget is used: a number of episodes, or of transitions of each task.

    A budget in transitions is filled by whole episodes. Rounds of one episode per sub-environment are collected until
    every task has at least the budget. An episode is kept if it started within the budget, independently of its length,
    so the bias towards short episodes is small. Tasks with fewer episodes are padded with masked rows.

    Args:
        envs: The vector environment.
        policy: The policy.
        params: Parameters with a leading `tasks` axis.
        key: Position of the random numbers.
        horizon: Steps after which an episode is truncated.
        episodes: Episodes of each task (default: one for each sub-environment).
        transitions: Minimum transitions of each task; replaces `episodes`.

    Raises:
        EnvironmentFault: An observation or a reward is not finite.
        Divergence: An action is not finite.
    """
    budget = {"horizon": horizon, "episodes": episodes, "transitions": transitions}
    return collect_with_memory(envs, policy, params, key, None, **budget)[0]  # type: ignore[arg-type]


def collect_with_memory(
    envs: VecEnv,
    policy: Policy,
    params: TaskParams,
    key: Key,
    memory: Any,
    *,
    horizon: int,
    episodes: int | None = None,
    transitions: int | None = None,
) -> tuple[Episodes, Any]:
    """`collect` with an initial memory of the policy; returns the episodes and the final memory.

    A policy with memory runs exactly one episode in each sub-environment.

    Raises:
        ConfigError: The policy has memory, and the budget is another.
    """
    first, memory = rollout_with_memory(envs, policy, params, key, memory, horizon=horizon)
    if memory is not None and (transitions is not None or episodes not in (None, envs.episodes)):
        raise ConfigError("samples_per_step: expected none, since a policy with memory needs a budget in episodes")
    rounds = [first]
    if transitions is None:
        wanted = envs.episodes if episodes is None else episodes
        while len(rounds) * envs.episodes < wanted:
            rounds.append(
                rollout(envs, policy, params, key, horizon=horizon, first_episode=len(rounds) * envs.episodes)
            )
        return concatenate_rounds(rounds).map(lambda x: x[:, :wanted]), memory
    collected = rounds[0].mask.sum((1, 2))
    while bool((collected < transitions).any()):
        offset = len(rounds) * envs.episodes
        wanting = collected < transitions
        more = rollout(envs, policy, params, key, horizon=horizon, first_episode=offset, active=wanting)
        # Within a round a task keeps episodes only until its budget is reached.
        lengths = more.mask.sum(2)
        before = collected[:, None] + lengths.cumsum(1) - lengths
        more = zero_masked(more._replace(mask=more.mask & (before < transitions)[..., None]))
        collected = collected + more.mask.sum((1, 2))
        rounds.append(more)
    return _drop_empty_episodes(concatenate_rounds(rounds)), None


def _stacked(flags: list[Tensor | None]) -> Bool[Tensor, "tasks episodes steps"] | None:
    """Stack the flags of all steps, with False for steps without flags; None if no step has flags."""
    known = next((x for x in flags if x is not None), None)
    return None if known is None else torch.stack([torch.zeros_like(known) if x is None else x for x in flags], 2)


def _drop_empty_episodes(episodes: Episodes) -> Episodes:
    """Move each task's episodes to the first rows, and drop rows that no task uses."""
    used = episodes.mask[..., 0]
    order = torch.argsort(used.to(torch.int8), dim=1, descending=True, stable=True)[:, : int(used.sum(1).max())]
    rows = torch.arange(len(order), device=order.device)[:, None]
    return episodes.map(lambda x: x[rows, order])


def _check_finite(episodes: Episodes) -> None:
    """Raise Divergence or EnvironmentFault for the earliest action, observation or reward that is not finite."""
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

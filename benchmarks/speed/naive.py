"""MAML-TRPO as it is usually written: the baseline of `python -m benchmarks.speed iteration`.

The mathematics is the library's, on all data: a linear baseline for each task, one inner gradient step on the
likelihood-ratio surrogate, the meta-gradient through it, TRPO on the mean KL of the adapted policies. Tasks are
processed one after another, with one environment object an episode in gymnasium's worker processes, an ordinary torch
module, and Hessian-vector products by differentiating the KL twice. No work is repeated without need: environments are
built once, and one graph serves the gradient and all products.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv
from torch import Tensor, nn
from torch.distributions import Independent, Normal, kl_divergence
from torch.func import functional_call

from metarl.algorithms.trust_region import conjugate_gradient, line_search, unravel
from metarl.config.algorithms import MamlTrpoConfig
from metarl.core.params import Params
from metarl.core.timing import Phases
from metarl.families.tasks import Tasks
from metarl.rl.data import PolicyBatch
from metarl_envs.navigation2d import DONE_WITHIN, VARIANTS, Navigation2D

MIN_LOG_STD = -13.8


class PointEnv(gymnasium.Env):
    """2-D navigation in plain NumPy, with the dynamics of a variant of `Navigation2D`."""

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)

    def __init__(self, variant: str) -> None:
        constants = VARIANTS[variant]
        self.bound, self.scale = np.float32(constants.action_bound), np.float32(constants.action_scale)
        self.ends_at_goal = constants.end == "goal"
        self.action_space = spaces.Box(-self.bound, self.bound, (2,), np.float32)
        self.goal = np.zeros(2, np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Put the point at the origin."""
        self.position, self.time = np.zeros(2, np.float32), 0
        return self.position, {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Move the point; the reward is the negative distance to the goal."""
        self.position = self.position + self.scale * np.clip(action, -self.bound, self.bound)
        self.time += 1
        offset = self.position - self.goal
        to_end = offset if self.ends_at_goal else self.position
        terminated = bool((np.abs(to_end) < DONE_WITHIN).all())
        return self.position, -math.sqrt(offset @ offset), terminated, self.time >= Navigation2D.horizon, {}


def make_envs(variant: str, episodes: int) -> AsyncVectorEnv:
    """A vector environment with one worker process an episode, for every task in turn."""
    return AsyncVectorEnv([partial(PointEnv, variant)] * episodes)


class NaivePolicy(nn.Module):
    """Normal policy whose parameters are named as the library's, so that both start from the same theta."""

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        layers = [nn.Linear(*pair) for pair in pairwise(sizes)]
        self.hidden, self.head = nn.ModuleList(layers[:-1]), layers[-1]
        self.log_std = nn.Parameter(torch.zeros(sizes[-1]))

    def forward(self, observations: Tensor) -> Independent:
        """Distribution of the actions (episodes, 2)."""
        x = observations
        for layer in self.hidden:
            x = torch.tanh(layer(x))
        std = self.log_std.clamp(min=MIN_LOG_STD).exp()
        return Independent(Normal(self.head(x), std, validate_args=False), 1, validate_args=False)


def policy_like(theta: Params) -> NaivePolicy:
    """A module with the layer sizes of theta."""
    weights = [value for name, value in theta.items() if name.endswith("weight")]
    return NaivePolicy([weights[0].shape[1], *(len(weight) for weight in weights)])


def rollout(envs: AsyncVectorEnv, policy: NaivePolicy, params: Params) -> dict[str, np.ndarray]:
    """One episode in every environment; arrays (episodes, steps, ...), no rewards after an end."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the environments' processes need the other cores
    observation, _ = envs.reset()
    running = np.ones(envs.num_envs, bool)
    rows: list[tuple[Any, ...]] = []
    while running.any():
        with torch.no_grad():
            distribution = functional_call(policy, params, (torch.as_tensor(observation),))
            action = distribution.sample()
            log_prob = distribution.log_prob(action)
        following, reward, terminated, truncated, _ = envs.step(action.numpy())
        rows.append((observation, action.numpy(), log_prob.numpy(), reward * running, running))
        observation, running = following, running & ~(terminated | truncated)
    torch.set_num_threads(threads)
    names = ("observations", "actions", "log_probs", "rewards", "mask")
    return {name: np.stack(column, 1) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def discounted(values: np.ndarray, discount: float) -> np.ndarray:
    """Discounted sums over the last axis, backwards in time."""
    sums = np.zeros_like(values)
    running = np.zeros(len(values))
    for t in reversed(range(values.shape[1])):
        sums[:, t] = running = values[:, t] + discount * running
    return sums


def batch_of(episodes: dict[str, np.ndarray], config: MamlTrpoConfig) -> PolicyBatch:
    """One task's data with normalised advantages over a linear baseline that is fitted to its own returns."""
    mask, rewards, o = episodes["mask"], episodes["rewards"], episodes["observations"].astype(np.float64)
    o = o.clip(-10, 10)
    t = np.broadcast_to(np.arange(mask.shape[1])[:, None] / 100.0, (*mask.shape, 1))
    features = np.concatenate([o, o**2, t, t**2, t**3, np.ones_like(t)], -1)
    targets = discounted(rewards, config.gamma)
    coefficients = np.linalg.lstsq(features[mask], targets[mask], rcond=None)[0]
    values = np.pad(features @ coefficients * mask, ((0, 0), (0, 1)))
    deltas = (rewards + config.gamma * values[:, 1:] - values[:, :-1]) * mask
    advantages = discounted(deltas, config.gamma * config.gae_lambda)
    advantages = (advantages - advantages[mask].mean()) / (advantages[mask].std() + 1e-8) * mask
    data = (o, episodes["actions"], episodes["log_probs"], advantages, mask / mask.sum())
    return PolicyBatch(*(torch.as_tensor(x, dtype=torch.float32) for x in data))


def surrogate(distribution: Independent, batch: PolicyBatch) -> Tensor:
    """-E[pi(a|s) / pi_old(a|s) A] of one task."""
    ratio = torch.exp(distribution.log_prob(batch.actions) - batch.log_probs)
    return -(ratio * batch.advantages * batch.weights).sum()


def adapted(policy: NaivePolicy, theta: Params, support: PolicyBatch, lr: float, *, create_graph: bool) -> Params:
    """One inner gradient step on one task."""
    loss = surrogate(functional_call(policy, theta, (support.observations,)), support)
    gradient = torch.autograd.grad(loss, list(theta.values()), create_graph=create_graph)
    return {name: value - lr * g for (name, value), g in zip(theta.items(), gradient, strict=True)}


class QueryTerms(NamedTuple):
    """Means over tasks on the query data, and each task's adapted policy there, detached."""

    loss: Tensor
    kl: Tensor
    policies: list[Independent]


def query_terms(
    policy: NaivePolicy,
    theta: Params,
    supports: Sequence[PolicyBatch],
    queries: Sequence[PolicyBatch],
    lr: float,
    *,
    old: Sequence[Independent] | None = None,
    create_graph: bool = False,
) -> QueryTerms:
    """Surrogate and KL (from `old`, or from themselves) of the adapted policies, one task after another."""
    losses, divergences, policies = [], [], []
    for i, (support, query) in enumerate(zip(supports, queries, strict=True)):
        params = adapted(policy, theta, support, lr, create_graph=create_graph)
        with torch.set_grad_enabled(create_graph):
            new = functional_call(policy, params, (query.observations,))
            policies.append(Independent(Normal(new.mean.detach(), new.stddev.detach()), 1))
            reference = policies[i] if old is None else old[i]
            losses.append(surrogate(new, query))
            divergences.append((kl_divergence(reference, new) * query.weights).sum())
    return QueryTerms(torch.stack(losses).mean(), torch.stack(divergences).mean(), policies)


def leaves_of(theta: Params) -> Params:
    """A copy to differentiate with respect to."""
    return {name: value.detach().requires_grad_() for name, value in theta.items()}


def flat_gradient(value: Tensor, theta: Params, **options: Any) -> Tensor:
    """Gradient of a scalar with respect to all parameters, as one vector."""
    return torch.cat([g.reshape(-1) for g in torch.autograd.grad(value, list(theta.values()), **options)])


def meta_gradient(theta: Params, support: PolicyBatch, query: PolicyBatch, *, lr: float) -> Params:
    """Gradient of the mean query surrogate through one inner step; data with a leading `tasks` axis."""
    leaves, supports, queries = leaves_of(theta), split_tasks(support), split_tasks(query)
    terms = query_terms(policy_like(theta), leaves, supports, queries, lr, create_graph=True)
    return unravel(flat_gradient(terms.loss, leaves), theta)


def kl_product(theta: Params, support: PolicyBatch, query: PolicyBatch, vector: Tensor, *, lr: float) -> Tensor:
    """Hessian of the mean query KL at theta times a vector; data with a leading `tasks` axis."""
    leaves, supports, queries = leaves_of(theta), split_tasks(support), split_tasks(query)
    terms = query_terms(policy_like(theta), leaves, supports, queries, lr, create_graph=True)
    slope = flat_gradient(terms.kl, leaves, create_graph=True)
    return flat_gradient(slope @ vector, leaves)


def split_tasks(batch: PolicyBatch) -> list[PolicyBatch]:
    """One batch a task, without the `tasks` axis."""
    return [PolicyBatch(*parts) for parts in zip(*batch, strict=True)]


class Iteration(NamedTuple):
    """Result of one iteration."""

    theta: Params
    returns: list[float]
    kl: float
    backtracks: int
    transitions: int
    seconds: dict[str, float]


def meta_step(envs: AsyncVectorEnv, theta: Params, tasks: Tasks, config: MamlTrpoConfig) -> Iteration:
    """One MAML-TRPO iteration with one inner step."""
    policy, leaves, lr, region = policy_like(theta), leaves_of(theta), config.inner.lr, config.trust_region
    phase, returns, transitions = Phases(), np.zeros(2), 0
    supports: list[PolicyBatch] = []
    queries: list[PolicyBatch] = []

    for goal in tasks["goal"]:
        envs.set_attr("goal", goal)
        params = leaves
        for step, batches in enumerate((supports, queries)):
            with phase("collect"):
                episodes = rollout(envs, policy, params)
                batches.append(batch_of(episodes, config))
            returns[step] += episodes["rewards"].sum(1).mean() / len(tasks["goal"])
            transitions += int(episodes["mask"].sum())
            if step == 0:
                with phase("adapt"):
                    params = adapted(policy, leaves, supports[-1], lr, create_graph=False)

    with phase("gradient"):
        terms = query_terms(policy, leaves, supports, queries, lr, create_graph=True)
        gradient = flat_gradient(terms.loss, leaves, retain_graph=True)

    with phase("curvature"):
        slope = flat_gradient(terms.kl, leaves, create_graph=True)

        def product(vector: Tensor) -> Tensor:
            return flat_gradient(slope @ vector, leaves, retain_graph=True) + region.damping * vector

        direction, product_of_direction = conjugate_gradient(product, gradient, iterations=region.cg_iterations)
        length = torch.sqrt(2 * region.max_kl / (direction @ product_of_direction).clamp(min=1e-12))

    with phase("line_search"):

        def loss_and_kl(at: Params) -> tuple[Tensor, Tensor]:
            return query_terms(policy, leaves_of(at), supports, queries, lr, old=terms.policies)[:2]

        found = line_search(
            loss_and_kl,
            {name: value.detach() for name, value in leaves.items()},
            length * direction,
            loss=terms.loss.detach(),
            max_kl=region.max_kl,
            max_backtracks=region.max_backtracks,
            backtrack_ratio=region.backtrack_ratio,
        )

    return Iteration(found.theta, returns.tolist(), float(found.kl), int(found.backtracks), transitions, phase.seconds)

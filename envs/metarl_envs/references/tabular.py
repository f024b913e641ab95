"""Tabular MDPs with a fixed horizon: planning, and learners that plan in a posterior, for whole batches of MDPs.

Every policy here is fixed within an episode, so its return is not simulated: it is the exact value of the policy in the
true MDP, whose expectation over trials is that of the return, with less variance.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray


class Policies(NamedTuple):
    """Deterministic policies and the values that they were planned with; `mdps` stands for any leading axes."""

    actions: Int[ndarray, "*mdps horizon states"]
    values: Float[ndarray, "*mdps horizon states actions"]


def plan(
    transitions: Float[ndarray, "*mdps states actions states"],
    rewards: Float[ndarray, "*mdps states actions"],
    horizon: int,
) -> Policies:
    """Optimal policies by backward induction: Q_t = R + T max_a Q_{t+1}, with Q_horizon = 0.

    Args:
        transitions: Probabilities of the next states.
        rewards: Mean rewards.
        horizon: Steps of an episode.

    Example:
        >>> stay_or_swap = np.array([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]])
        >>> found = plan(stay_or_swap, np.array([[0.0, -1.0], [2.0, 0.0]]), horizon=3)
        >>> found.actions.tolist(), float(found.values[0, 0].max())
        ([[1, 0], [1, 0], [0, 0]], 3.0)
    """
    values = [rewards]
    for _ in range(horizon - 1):
        ahead = np.einsum("...san,...n->...sa", transitions, values[-1].max(-1), optimize=True)
        values.append(rewards + ahead)
    found = np.stack(values[::-1], -3)
    return Policies(found.argmax(-1), found)


def policy_values(
    transitions: Float[ndarray, "*mdps states actions states"],
    rewards: Float[ndarray, "*mdps states actions"],
    actions: Int[ndarray, "*mdps horizon states"],
) -> Float[ndarray, "*mdps states"]:
    """Expected return of policies from every state.

    Args:
        transitions: Probabilities of the next states.
        rewards: Mean rewards.
        actions: The action of each time and state.
    """
    worth = np.zeros(actions.shape[:-2] + actions.shape[-1:])
    for time in reversed(range(actions.shape[-2])):
        taken = actions[..., time, :, None]
        following = np.take_along_axis(transitions, taken[..., None], -2)[..., 0, :]
        now = np.take_along_axis(rewards, taken, -1)[..., 0]
        worth = now + np.einsum("...sn,...n->...s", following, worth, optimize=True)
    return worth


def known_mdp(
    tasks: Mapping[str, ndarray], episodes: int, trials: int, rng: np.random.Generator, *, horizon: int
) -> Float[ndarray, "tasks episodes"]:
    """Expected return from state 0 of the optimal policy of the known MDP.

    Args:
        tasks: A batch of tasks, with `transitions` (tasks, states, actions, states) and `rewards`.
        episodes: Episodes of a trial, which are all alike.
        trials: Not used; the result is exact.
        rng: Not used.
        horizon: Steps of an episode.
    """
    best = plan(*_mdps(tasks), horizon).values[:, 0, 0].max(-1)
    return np.repeat(best[:, None], episodes, 1)


def uniform_actions(
    tasks: Mapping[str, ndarray], episodes: int, trials: int, rng: np.random.Generator, *, horizon: int
) -> Float[ndarray, "tasks episodes"]:
    """Expected return from state 0 of uniformly drawn actions.

    Args:
        tasks: A batch of tasks, with `transitions` (tasks, states, actions, states) and `rewards`.
        episodes: Episodes of a trial, which are all alike.
        trials: Not used; the result is exact.
        rng: Not used.
        horizon: Steps of an episode.
    """
    transitions, rewards = (entry.mean(2) for entry in _mdps(tasks))
    worth = np.zeros_like(rewards)
    for _ in range(horizon):
        worth = rewards + np.einsum("tsn,tn->ts", transitions, worth)
    return np.repeat(worth[:, :1], episodes, 1)


class Posterior:
    """Posterior of MDPs: Dirichlet transitions, and normal mean rewards whose draws have unit variance.

    Args:
        shape: Number of MDPs, states and actions.
        prior_mean: Prior mean of the mean rewards, which have unit prior variance.
        concentration: Prior count of every next state.
    """

    def __init__(self, shape: tuple[int, int, int], prior_mean: float, concentration: float = 1.0) -> None:
        self.counts = np.full((*shape, shape[1]), concentration)
        self.means = np.full(shape, float(prior_mean))
        self.precisions = np.ones(shape)

    def draw(self, rng: np.random.Generator) -> tuple[ndarray, ndarray]:
        """One MDP of each posterior: transitions and mean rewards."""
        gammas = rng.standard_gamma(self.counts)
        rewards = self.means + rng.standard_normal(self.means.shape) / np.sqrt(self.precisions)
        return gammas / gammas.sum(-1, keepdims=True), rewards

    def observe(self, states: ndarray, actions: ndarray, rewards: ndarray, following: ndarray) -> None:
        """Condition each posterior on one transition."""
        at = (np.arange(len(states)), states, actions)
        self.counts[(*at, following)] += 1
        self.means[at] = (self.precisions[at] * self.means[at] + rewards) / (self.precisions[at] + 1)
        self.precisions[at] += 1


def posterior_sampling(
    tasks: Mapping[str, ndarray],
    episodes: int,
    trials: int,
    rng: np.random.Generator,
    *,
    horizon: int,
    prior_mean: float = 1.0,
    samples: int = 1,
) -> Float[ndarray, "tasks episodes"]:
    """Return of each episode of PSRL (Strens 2000; Osband et al. 2013) or, with several samples, of optimistic PSRL.

    Before each episode `samples` MDPs are drawn from the posterior and planned in. The policy is greedy in the highest
    of their values, for every time, state and action; with one sample it is the optimal policy of that MDP.

    Args:
        tasks: A batch of tasks, with `transitions` (tasks, states, actions, states) and `rewards`.
        episodes: Episodes of a trial.
        trials: Trials of each task.
        rng: Draws from the posterior, and the transitions and rewards.
        horizon: Steps of an episode.
        prior_mean: Prior mean of the mean rewards.
        samples: MDPs drawn before each episode.
    """
    transitions, rewards = (np.repeat(entry, trials, 0) for entry in _mdps(tasks))
    cumulative = transitions.cumsum(-1)
    posterior = Posterior(rewards.shape, prior_mean)
    every = np.arange(len(rewards))
    found = np.empty((len(rewards), episodes))
    for episode in range(episodes):
        values = plan(*posterior.draw(rng), horizon).values
        for _ in range(samples - 1):
            values = np.maximum(values, plan(*posterior.draw(rng), horizon).values)
        actions = values.argmax(-1)
        found[:, episode] = policy_values(transitions, rewards, actions)[:, 0]
        state = np.zeros(len(rewards), np.int64)
        for time in range(horizon):
            action = actions[every, time, state]
            # Without the last bound, so that rounding cannot lead to a state beyond it.
            following = (rng.random((len(rewards), 1)) > cumulative[every, state, action][:, :-1]).sum(-1)
            reward = rewards[every, state, action] + rng.standard_normal(len(rewards))
            posterior.observe(state, action, reward, following)
            state = following
    return found.reshape(-1, trials, episodes).mean(1)


def _mdps(tasks: Mapping[str, ndarray]) -> tuple[ndarray, ndarray]:
    """Transitions, whose float32 rows are scaled to sum to one, and mean rewards."""
    transitions, rewards = (np.asarray(tasks[name], float) for name in ("transitions", "rewards"))
    return transitions / transitions.sum(-1, keepdims=True), rewards

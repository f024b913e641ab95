"""What a Stable-Baselines3 model reaches on tasks, by metarl's own rollouts: every episode of every task at once."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from metarl.core.prng import Key
from metarl.families.vec_env import VecEnv
from metarl.rl.data import Episodes
from metarl.rl.rollouts import collect

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

GREEDY = ("TD3", "DQN")
"""Algorithms whose policy is deterministic: noise is added to explore, and is no part of what has been learned."""


class Chosen(NamedTuple):
    """Actions that were chosen already, where a rollout expects a distribution."""

    actions: Tensor
    unknown: Float[Tensor, "tasks episodes *steps"]
    """Zeros: nothing is known of the probability; but an action that is not finite must not go unnoticed."""

    def sample(self, noise: Tensor) -> Tensor:
        return self.actions

    def log_prob(self, actions: Tensor) -> Tensor:
        return self.unknown


class ActingModel:
    """A model behind the contract of a policy; it has parameters of its own, so those that `act` is given are ignored.

    Actions are sampled as in every score of metarl's, where the model's policy is random at all.
    """

    noise = "normal"
    noise_components = 0

    def __init__(self, model: BaseAlgorithm) -> None:
        self.model = model
        self.deterministic = type(model).__name__ in GREEDY

    def act(self, params: Any, observations: Tensor, memory: Any = None) -> tuple[Chosen, Any]:
        """Actions for observations (tasks, episodes, observation)."""
        rows = observations.flatten(0, 1).cpu().numpy().astype(np.float32)
        actions, _ = self.model.predict(rows, deterministic=self.deterministic)
        chosen = torch.as_tensor(actions).unflatten(0, observations.shape[:2])
        return Chosen(chosen, (0.0 * chosen).reshape(*observations.shape[:2], -1).sum(-1)), memory


def episodes_of(model: BaseAlgorithm, envs: VecEnv, key: Key, *, horizon: int, episodes: int) -> Episodes:
    """`episodes` episodes of each task, which nothing learns from."""
    acting: Any = ActingModel(model)
    with private_randomness(key.at("actions")):
        return collect(envs, acting, {}, key, horizon=horizon, episodes=episodes)


def seed_of(key: Key) -> int:
    """A seed for libraries that want 32 bits."""
    return int(key.generator().integers(2**31))


class RandomState:
    """State of the global generators of Python, NumPy and torch."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._kept: tuple[Any, ...] = ()

    def keep(self) -> None:
        """Keep the generators as they are, to go on with them in `resumed`."""
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        self._kept = random.getstate(), np.random.get_state(), torch.random.get_rng_state(), cuda

    @contextmanager
    def resumed(self) -> Iterator[None]:
        """The global generators as they were kept, and afterwards as they were found."""
        with _restored():
            python, numpy, of_torch, cuda = self._kept
            random.setstate(python)
            np.random.set_state(numpy)
            torch.random.set_rng_state(of_torch)
            if cuda:
                torch.cuda.set_rng_state_all(cuda)
            yield


@contextmanager
def private_randomness(key: Key) -> Iterator[RandomState]:
    """The global generators of Python, NumPy and torch seeded by a position, and afterwards as they were found."""
    with _restored():
        seed = seed_of(key)
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        yield RandomState(seed)


@contextmanager
def _restored() -> Iterator[None]:
    before = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        try:
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])

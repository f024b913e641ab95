"""Episodes of a Stable-Baselines3 model by metarl's rollouts: all episodes of all tasks at once."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from metarl.core.machine import generators_restored
from metarl.core.prng import Key
from metarl.families.vec_env import VecEnv
from metarl.rl.data import Episodes
from metarl.rl.rollouts import collect

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

GREEDY = ("TD3", "DQN")
"""Algorithms with a deterministic policy; their exploration noise is not part of the policy."""


class Chosen(NamedTuple):
    """Actions with the interface of a distribution."""

    actions: Tensor
    unknown: Float[Tensor, "tasks episodes *steps"]
    """Zeros in place of the unknown log-probability; NaN if the action is not finite, so that rollouts detect it."""

    def sample(self, noise: Tensor) -> Tensor:
        """The actions."""
        return self.actions

    def log_prob(self, actions: Tensor) -> Tensor:
        """Zeros, or NaN for actions that are not finite."""
        return self.unknown


class ActingModel:
    """A model with the interface of a policy; `act` ignores its parameters, since the model has its own.

    Actions are sampled, as in all evaluations of metarl, unless the model's policy is deterministic.

    Args:
        model: The model.
    """

    noise = "normal"
    noise_components = 0

    def __init__(self, model: BaseAlgorithm) -> None:
        self.model = model
        self.deterministic = type(model).__name__ in GREEDY

    def act(self, params: Any, observations: Tensor, memory: Any = None) -> tuple[Chosen, Any]:
        """Actions for observations (tasks, episodes, size)."""
        rows = observations.flatten(0, 1).cpu().numpy().astype(np.float32)
        actions, _ = self.model.predict(rows, deterministic=self.deterministic)
        chosen = torch.as_tensor(actions).unflatten(0, observations.shape[:2])
        return Chosen(chosen, (0.0 * chosen).reshape(*observations.shape[:2], -1).sum(-1)), memory


def episodes_of(model: BaseAlgorithm, envs: VecEnv, key: Key, *, horizon: int, episodes: int) -> Episodes:
    """Collect episodes of a model, without learning.

    Args:
        model: The model.
        envs: The vector environment.
        key: Position of the random numbers.
        horizon: Steps after which an episode is truncated.
        episodes: Episodes of each task.
    """
    acting: Any = ActingModel(model)
    with private_randomness(key.at("actions")):
        return collect(envs, acting, {}, key, horizon=horizon, episodes=episodes)


def seed_of(key: Key) -> int:
    """A 31-bit seed for libraries that need one."""
    return int(key.generator().integers(2**31))


class RandomState:
    """A saved state of the global random generators of Python, NumPy and torch.

    Args:
        seed: The seed that the generators started from.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._kept: tuple[Any, ...] = ()

    def keep(self) -> None:
        """Save the current state of the generators, for `resumed`."""
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        self._kept = random.getstate(), np.random.get_state(), torch.random.get_rng_state(), cuda

    @contextmanager
    def resumed(self) -> Iterator[None]:
        """Restore the saved state inside the block, and the previous state after it."""
        with generators_restored():
            python, numpy, of_torch, cuda = self._kept
            random.setstate(python)
            np.random.set_state(numpy)
            torch.random.set_rng_state(of_torch)
            if cuda:
                torch.cuda.set_rng_state_all(cuda)
            yield


@contextmanager
def private_randomness(key: Key) -> Iterator[RandomState]:
    """Seed the global generators of Python, NumPy and torch inside the block, and restore their state after it."""
    with generators_restored():
        seed = seed_of(key)
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        yield RandomState(seed)

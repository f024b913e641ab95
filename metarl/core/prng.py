"""Counter-based random numbers: each number is a function of its position, not of earlier draws.

A position is (seed, stream, iteration, step, task, episode, time, component). A `Key` holds the part on the host;
tensors of seeds hold the part that differs between sub-environments. Each coordinate is absorbed by one SplitMix64
output (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators", figure 16). A batch, a single
sub-environment and any device therefore give the same bits.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15

_FIRST = 0xBF58476D1CE4E5B9

_SECOND = 0x94D049BB133111EB

_MASK = (1 << 64) - 1


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _mix(value: int) -> int:
    value = ((value ^ (value >> 30)) * _FIRST) & _MASK
    value = ((value ^ (value >> 27)) * _SECOND) & _MASK
    return value ^ (value >> 31)


@dataclass(frozen=True)
class Key:
    """A position in the tree of random numbers: 64 bits on the host.

    Example:
        >>> key = Key.from_seed(1)
        >>> key.at("tasks", 3) == key.at("tasks").at(3), key.at("tasks", 3) == key.at("tasks", 4)
        (True, False)
    """

    value: int
    first_task: int = 0
    """Index within the meta-batch of the first of this rank's tasks."""
    co_seeds: tuple[Key, ...] = ()
    """The same position for the other seeds of a batch of seeds; their tasks follow those of this seed."""

    step: tuple[Key, int] | None = field(default=None, compare=False, repr=False)
    """For the key of an adaptation step: the key above all steps of the adaptation, and the step's number."""

    @staticmethod
    def from_seed(seed: int) -> Key:
        """The root of a seed's tree."""
        return Key(_mix(seed & _MASK))

    def at(self, *coordinates: int | str) -> Key:
        """The key below this one at the given coordinates.

        Args:
            *coordinates: Non-negative integers, or names, which are hashed to 64 bits.
        """
        value = self.value
        for coordinate in coordinates:
            if isinstance(coordinate, str):
                coordinate = int.from_bytes(hashlib.blake2s(coordinate.encode(), digest_size=8).digest(), "little")
            value = _mix((value + _GOLDEN * (coordinate + 1)) & _MASK)
        return Key(value, self.first_task, tuple(key.at(*coordinates) for key in self.co_seeds))

    def at_step(self, number: int) -> Key:
        """`at(number)` for an adaptation step, for draws that go on from one step to the next."""
        return replace(self.at(number), step=(self, number))

    def from_task(self, first_task: int) -> Key:
        """The same position for tasks from index `first_task` of the meta-batch on."""
        return Key(self.value, first_task)

    def generator(self) -> np.random.Generator:
        """A NumPy generator seeded by this position; task sampling and statistics use it."""
        return np.random.default_rng(np.random.SeedSequence(self.value))

    def env_seeds(
        self, tasks: int, episodes: int, *, first_episode: int = 0, device: torch.device | str = "cpu"
    ) -> Tensor:
        """Seeds of sub-environments: entry (i, j) depends only on this key, `first_task` + i and `first_episode` + j.

        With co-seeds the tasks are split evenly among the seeds, in order.

        Args:
            tasks: Number of tasks, over all seeds.
            episodes: Number of episodes of each task.
            first_episode: Index of the first episode.
            device: Device of the result.

        Returns:
            An int64 tensor (tasks, episodes).
        """
        import torch

        if self.co_seeds:
            own = tasks // (1 + len(self.co_seeds))
            keys = (self.from_task(self.first_task), *self.co_seeds)
            return torch.cat([k.env_seeds(own, episodes, first_episode=first_episode, device=device) for k in keys])
        root = torch.full((1, 1), _signed(self.value), dtype=torch.int64, device=device)
        by_task = fold(root, torch.arange(self.first_task, self.first_task + tasks, device=device)[:, None])
        return fold(by_task, torch.arange(first_episode, first_episode + episodes, device=device)[None, :])


def _shifted(x: Tensor, bits: int) -> Tensor:
    """Logical right shift of int64."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def fold(seeds: Tensor, position: Tensor | int) -> Tensor:
    """Absorb one coordinate: the `position`-th SplitMix64 output of each seed.

    Args:
        seeds: An int64 tensor.
        position: A non-negative integer, or an int64 tensor that broadcasts against the seeds.
    """
    if isinstance(position, int):
        x = seeds + _signed(_GOLDEN * (position + 1) & _MASK)
    else:
        x = seeds + _signed(_GOLDEN) * (position + 1)
    x = (x ^ _shifted(x, 30)) * _signed(_FIRST)
    x = (x ^ _shifted(x, 27)) * _signed(_SECOND)
    return x ^ _shifted(x, 31)


def uniform(seeds: Tensor) -> Tensor:
    """Uniform numbers in the open interval (0, 1), float64, one for each seed.

    Example:
        >>> draws = uniform(Key.from_seed(1).env_seeds(2, 3))
        >>> draws.shape, bool((draws > 0).all() and (draws < 1).all())
        (torch.Size([2, 3]), True)
    """
    # 52 bits, one fewer than a double holds: adding one half then keeps the largest number below one.
    return (_shifted(seeds, 12).double() + 0.5) * 2.0**-52


def normal(seeds: Tensor) -> Tensor:
    """Standard normal numbers, float64, one for each seed, by inversion of the cumulative distribution function."""
    import torch

    drawn: Tensor = torch.special.ndtri(uniform(seeds))
    return drawn


def noise_seeds(env_seeds: Tensor, steps: int, components: int) -> Tensor:
    """Seeds of the action noise of each sub-environment at each step.

    Args:
        env_seeds: Seeds of the sub-environments, int64, any shape.
        steps: Number of steps.
        components: Random numbers of a sub-environment in a step.

    Returns:
        An int64 tensor (steps, *env_seeds.shape, components).
    """
    import torch

    time = torch.arange(steps, device=env_seeds.device)
    by_time = fold(env_seeds[None], time.reshape(-1, *[1] * env_seeds.ndim))
    return fold(by_time[..., None], torch.arange(components, device=env_seeds.device))

"""Counter-based random numbers: each number is a function of its position, never of what was drawn before.

A position is (seed, stream, iteration, step, task, episode, time, component). A `Key` holds the part known
on the host; tensors of seeds carry the part that differs from lane to lane. One absorbed coordinate is one
SplitMix64 output (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators", figure 16),
so a batch, one lane of it alone, and any device give the same bits.
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
    """A position in the tree of random numbers, held on the host as 64 bits."""

    value: int
    first_task: int = 0
    """Where the tasks at hand begin among those of the meta-batch: a rank has a part of them."""
    co_seeds: tuple[Key, ...] = ()
    """The same position of further seeds that are trained at once with this one; their tasks follow this one's."""

    step: tuple[Key, int] | None = field(default=None, compare=False, repr=False)
    """For the key of an adaptation step: the key above all steps of the adaptation, and the step's number."""

    @staticmethod
    def from_seed(seed: int) -> Key:
        return Key(_mix(seed & _MASK))

    def at(self, *coordinates: int | str) -> Key:
        """The key below this one at the given coordinates; names are hashed, numbers absorbed as they are."""
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
        """The same position for tasks that begin at the `first_task`-th."""
        return Key(self.value, first_task)

    def generator(self) -> np.random.Generator:
        """A NumPy generator seeded by this position, for task sampling and statistics."""
        return np.random.default_rng(np.random.SeedSequence(self.value))

    def env_seeds(
        self, tasks: int, episodes: int, *, first_episode: int = 0, device: torch.device | str = "cpu"
    ) -> Tensor:
        """Seeds of the lanes (tasks, episodes), int64: lane (i, j) depends on first_task + i and first_episode + j
        alone.

        Where several seeds are trained at once, as many of the tasks are each one's.
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
    """Absorb one coordinate: the `position`-th SplitMix64 output of each seed; shapes broadcast."""
    if isinstance(position, int):
        x = seeds + _signed(_GOLDEN * (position + 1) & _MASK)
    else:
        x = seeds + _signed(_GOLDEN) * (position + 1)
    x = (x ^ _shifted(x, 30)) * _signed(_FIRST)
    x = (x ^ _shifted(x, 27)) * _signed(_SECOND)
    return x ^ _shifted(x, 31)


def uniform(seeds: Tensor) -> Tensor:
    """Uniform numbers in the open interval (0, 1), float64, one for each seed."""
    # One bit fewer than a double holds, so that the half added keeps the largest below one.
    return (_shifted(seeds, 12).double() + 0.5) * 2.0**-52


def normal(seeds: Tensor) -> Tensor:
    """Standard normal numbers, float64, one for each seed, by inversion of the distribution function."""
    import torch

    drawn: Tensor = torch.special.ndtri(uniform(seeds))
    return drawn


def noise_seeds(env_seeds: Tensor, steps: int, components: int, *, first_step: int = 0) -> Tensor:
    """Seeds (steps, *lanes, components) for the noise that each lane uses at each time."""
    import torch

    time = torch.arange(first_step, first_step + steps, device=env_seeds.device)
    by_time = fold(env_seeds[None], time.reshape(-1, *[1] * env_seeds.ndim))
    return fold(by_time[..., None], torch.arange(components, device=env_seeds.device))

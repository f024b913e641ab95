"""Leading axis of theta for several seeds in one batch: one theta per seed, and the tasks of all seeds together.

Seeds share nothing, like tasks in the inner loop. Code is agnostic to the leading seed axis except in
`metarl.core.collectives` and in per-seed decisions of outer updates. A single run has no such axis.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from metarl.core.params import State

_AXIS: ContextVar[tuple[int, ...]] = ContextVar("seeds", default=())


def seeds_axis() -> tuple[int, ...]:
    """Leading shape of every parameter: (seeds,) for several seeds in one batch, () for a single run."""
    return _AXIS.get()


@contextmanager
def use_seed_axis(seeds: int) -> Iterator[None]:
    """Use a seed axis inside the block.

    Args:
        seeds: Number of seeds; batches hold equally many tasks of each, in the order of seeds.
    """
    token = _AXIS.set((seeds,))
    try:
        yield
    finally:
        _AXIS.reset(token)


def by_seed(values: Shaped[Tensor, " tasks *rest"]) -> Shaped[Tensor, "*shape"]:
    """Values of all tasks as (*seeds, tasks of a seed, *rest); unchanged for a single run.

    Example:
        >>> with use_seed_axis(2):
        ...     by_seed(torch.arange(6)).shape
        torch.Size([2, 3])
    """
    apart: Tensor = values.unflatten(0, (*seeds_axis(), -1))
    return apart


def tasks_of_a_seed(tasks: int) -> int:
    """Number of tasks of one seed among `tasks` tasks of all seeds."""
    return tasks // math.prod(seeds_axis())


def flat(value: Tensor) -> Float[Tensor, "*seeds entries"]:
    """A tensor of a parameter's shape, flattened to one vector per seed."""
    return value.reshape(*seeds_axis(), -1)


def stacked(states: list[State]) -> State:
    """States of several seeds as one state, with a leading seed axis in every tensor."""
    return {
        part: {name: torch.stack([state[part][name] for state in states]) for name in params}
        for part, params in states[0].items()
    }


def state_of(state: State, seed: int) -> State:
    """One seed's state out of a state that `stacked` made.

    Args:
        state: A state with a leading seed axis.
        seed: Index along that axis.
    """
    return {part: {name: value[seed] for name, value in params.items()} for part, params in state.items()}

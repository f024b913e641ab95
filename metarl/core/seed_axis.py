"""The axis in front of theta where several seeds are trained at once: a theta a seed, and the tasks of all in a batch.

Seeds share nothing, as tasks do in the inner loop. What is computed does not know of them but where tasks meet
(`metarl.reductions`) and where an outer update decides something for each theta. A run by itself has no such axis.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from jaxtyping import Float
from torch import Tensor

from metarl.core.params import State

_AXIS: ContextVar[tuple[int, ...]] = ContextVar("seeds", default=())


def seeds_axis() -> tuple[int, ...]:
    """The shape in front of theta's own shapes: (seeds,) where several are trained at once, () in a run by itself."""
    return _AXIS.get()


@contextmanager
def use_seed_axis(seeds: int) -> Iterator[None]:
    """What is computed within has an axis of so many seeds, and as many tasks of each, one seed's after another's."""
    token = _AXIS.set((seeds,))
    try:
        yield
    finally:
        _AXIS.reset(token)


def by_seed(values: Float[Tensor, " tasks *rest"]) -> Float[Tensor, "*seeds tasks *rest"]:
    """Values of all tasks, with those of each seed apart."""
    apart: Tensor = values.unflatten(0, (*seeds_axis(), -1))
    return apart


def tasks_of_a_seed(tasks: int) -> int:
    """How many of the tasks are one seed's."""
    return tasks // math.prod(seeds_axis())


def flat(value: Tensor) -> Float[Tensor, "*seeds entries"]:
    """A parameter, or whatever has its shape, as one vector for each seed."""
    return value.reshape(*seeds_axis(), -1)


def stacked(states: list[State]) -> State:
    """The states of several seeds as one, with the axis in front of every tensor."""
    return {
        part: {name: torch.stack([state[part][name] for state in states]) for name in params}
        for part, params in states[0].items()
    }


def state_of(state: State, seed: int) -> State:
    """One seed's part of what `stacked` made."""
    return {part: {name: value[seed] for name, value in params.items()} for part, params in state.items()}

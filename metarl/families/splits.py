"""Splits of a family's tasks into meta-train, meta-validation, meta-test and out-of-distribution."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from gymnasium import spaces

from metarl.core.errors import FamilyError, nearest
from metarl.core.prng import Key
from metarl.families.tasks import (
    Task,
    Tasks,
    batch_tasks,
    in_space,
    number_of_tasks,
    parse_task,
    task_at,
    task_to_json,
)

SPLITS = ("meta-train", "meta-validation", "meta-test", "out-of-distribution")
"""Names of all splits; a family may lack the last."""


def check_split(split: str, names: Iterable[str]) -> None:
    """Check the name of a split.

    Args:
        split: The name.
        names: The family's splits.

    Raises:
        FamilyError: There is no such split; the message suggests the nearest.
    """
    if split not in names:
        raise FamilyError(f"unknown split '{split}'{nearest(split, names)}")


def held_out_generator(family: str, variant: str | None, split: str, seed: int) -> np.random.Generator:
    """The generator that draws the tasks of an evaluation, a function of its arguments alone.

    Args:
        family: Name of the family.
        variant: Variant of the family.
        split: Name of the split.
        seed: Seed of the evaluation.
    """
    return Key.from_seed(seed).at("evaluation").at("tasks", family, variant or "", split).generator()


class Splits(Protocol):
    """Protocol of a family's division of tasks into splits."""

    @property
    def kind(self) -> str:
        """Either "disjoint", if no task is in two splits, or "shared"; results of evaluations contain it."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the splits."""
        ...

    def sample(self, n: int, split: str, rng: np.random.Generator) -> Tasks:
        """Draw n tasks of a split."""
        ...


class UniformSplits:
    """Uniform draws from the training space; out-of-distribution draws from the rest of the task space.

    meta-train, meta-validation and meta-test have the same distribution, as in the published protocols. Their tasks
    differ, since the generator is keyed by the split. With continuous entries no task is in two splits.

    Args:
        task_space: Box and Discrete entries with bounds.
        train_space: The same entries with narrower bounds; by default `task_space`, and no out-of-distribution split.

    Raises:
        FamilyError: An entry is unbounded, or the two spaces do not fit.

    Example:
        >>> box = spaces.Dict({"goal": spaces.Box(-1.0, 1.0, (2,), np.float32)})
        >>> splits = UniformSplits(box)
        >>> splits.names, splits.kind
        (('meta-train', 'meta-validation', 'meta-test'), 'disjoint')
        >>> splits.sample(5, "meta-test", np.random.default_rng(0))["goal"].shape
        (5, 2)
    """

    def __init__(self, task_space: spaces.Dict, train_space: spaces.Dict | None = None) -> None:
        self.task_space = task_space
        self.train_space = train_space or task_space
        if set(self.train_space.spaces) != set(task_space.spaces):
            raise FamilyError(
                f"train_space: expected the entries {', '.join(task_space.spaces)}; got {self.train_space}"
            )
        for space in (self.task_space, self.train_space):
            for name, entry in space.spaces.items():
                if isinstance(entry, spaces.Box) and not entry.is_bounded():
                    raise FamilyError(f"task space: '{name}' = {entry} has no bounds to draw from")
        corners = _uniform(self.train_space, 20, np.random.default_rng(0))
        for i in range(20):
            parse_task(
                task_space, task_to_json(task_space, task_at(corners, i)), "train_space reaches out of task_space"
            )

    @property
    def kind(self) -> str:
        """Either "disjoint", if a continuous entry varies and therefore no task is drawn twice, or "shared"."""
        entries = self.train_space.spaces.values()
        varies = any(isinstance(e, spaces.Box) and _is_continuous(e) and bool((e.low < e.high).any()) for e in entries)
        return "disjoint" if varies else "shared"

    @property
    def names(self) -> tuple[str, ...]:
        """All splits, or all but out-of-distribution without a separate training space."""
        return SPLITS if self.train_space is not self.task_space else SPLITS[:3]

    def sample(self, n: int, split: str, rng: np.random.Generator) -> Tasks:
        """Draw n tasks of a split; raises FamilyError if there is no such split."""
        check_split(split, self.names)
        if split != "out-of-distribution":
            return _uniform(self.train_space, n, rng)
        found: list[Task] = []
        for _ in range(1000):
            candidates = _uniform(self.task_space, n, rng)
            for i in range(n):
                task = task_at(candidates, i)
                inside = all(
                    e.contains(in_space(self.train_space, task)[k]) for k, e in self.train_space.spaces.items()
                )
                if not inside:
                    found.append(task)
            if len(found) >= n:
                return batch_tasks(found[:n])
        raise FamilyError("out-of-distribution: the training space fills the task space, so nothing lies outside it")


class ListedSplits:
    """Splits of a finite family: lists of tasks, drawn without repetition until a list is exhausted.

    Args:
        lists: The tasks of each split.
        kind: "disjoint", or "shared" if splits have tasks in common.

    Raises:
        FamilyError: A task is in two splits although they are disjoint.
    """

    def __init__(self, lists: Mapping[str, Sequence[Task]], *, kind: str = "disjoint") -> None:
        self.kind = kind
        self.lists = {name: batch_tasks(tasks) for name, tasks in lists.items()}
        seen: dict[str, str] = {}
        for name, tasks in lists.items() if kind == "disjoint" else ():
            for task in tasks:
                text = repr({key: np.asarray(value).tolist() for key, value in task.items()})
                if seen.setdefault(text, name) != name:
                    raise FamilyError(
                        f"splits: task {text} is in {seen[text]} and in {name}; use shared_splits if meant"
                    )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the lists."""
        return tuple(self.lists)

    def sample(self, n: int, split: str, rng: np.random.Generator) -> Tasks:
        """Draw n tasks of a split; raises FamilyError if there is no such split."""
        check_split(split, self.lists)
        tasks = self.lists[split]
        size = number_of_tasks(tasks)
        order = np.concatenate([rng.permutation(size) for _ in range(-(-n // size))])[:n]
        return {name: values[order] for name, values in tasks.items()}


def shared_splits(tasks: Sequence[Task]) -> ListedSplits:
    """Splits of a finite set that is used for training and test alike (Cheetah direction, for example).

    Args:
        tasks: All tasks.
    """
    return ListedSplits(dict.fromkeys(SPLITS[:3], tasks), kind="shared")


def _uniform(space: spaces.Dict, n: int, rng: np.random.Generator) -> Tasks:
    """n uniform draws from a Dict space, task by task, so that a larger n begins with the same tasks."""
    if space.spaces and all(_is_continuous(entry) for entry in space.spaces.values()):
        return _uniform_continuous(space, n, rng)
    return batch_tasks([{name: _draw(name, entry, rng) for name, entry in space.spaces.items()} for _ in range(n)])


def _uniform_continuous(space: spaces.Dict, n: int, rng: np.random.Generator) -> Tasks:
    """The same numbers by a single call, which consumes the generator in the order of the rows."""
    boxes: dict[str, Any] = dict(space.spaces)
    low, high = (np.concatenate([getattr(b, end).ravel() for b in boxes.values()]) for end in ("low", "high"))
    ends = np.cumsum([math.prod(box.shape) for box in boxes.values()])
    parts = np.split(rng.uniform(low, high, (n, len(low))), ends[:-1], axis=1)
    return {
        name: part.reshape(n, *box.shape).astype(box.dtype)
        for (name, box), part in zip(boxes.items(), parts, strict=True)
    }


def _is_continuous(entry: spaces.Space) -> bool:
    return isinstance(entry, spaces.Box) and bool(np.issubdtype(entry.dtype, np.floating))


def _draw(name: str, entry: spaces.Space, rng: np.random.Generator) -> Any:
    if isinstance(entry, spaces.Box) and _is_continuous(entry):
        return rng.uniform(entry.low, entry.high, entry.shape).astype(entry.dtype)
    if isinstance(entry, spaces.Box):
        return rng.integers(entry.low, entry.high, entry.shape, dtype=entry.dtype, endpoint=True)
    if isinstance(entry, spaces.Discrete):
        return entry.start + rng.integers(entry.n)
    raise FamilyError(f"task space: '{name}' = {entry}; expected a Box or Discrete")

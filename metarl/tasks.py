"""Task batches and the splits they are drawn from.

A task is a value of a family's `task_space` (a Dict space); a batch is the same dictionary with a leading axis.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from gymnasium import spaces

from metarl.errors import FamilyError, nearest

SPLITS = ("meta-train", "meta-validation", "meta-test", "out-of-distribution")

Task = dict[str, Any]
Tasks = dict[str, np.ndarray]


def batch_tasks(tasks: Sequence[Mapping[str, Any]]) -> Tasks:
    """A batch from single tasks."""
    return {name: np.array([np.asarray(task[name]) for task in tasks]) for name in tasks[0]}


def number_of_tasks(tasks: Tasks) -> int:
    return len(next(iter(tasks.values())))


def task_at(tasks: Tasks, index: int) -> Task:
    return {name: values[index] for name, values in tasks.items()}


def take_tasks(tasks: Tasks, index: slice) -> Tasks:
    return {name: values[index] for name, values in tasks.items()}


def join_tasks(batches: Sequence[Tasks]) -> Tasks:
    """One batch of several."""
    return {name: np.concatenate([tasks[name] for tasks in batches]) for name in batches[0]}


def task_vectors(space: spaces.Dict, tasks: Tasks) -> np.ndarray:
    """The tasks as flat vectors (tasks, size), float32: numbers as they are, discrete values one-hot."""
    flat = [spaces.flatten(space, _in_space(space, task_at(tasks, i))) for i in range(number_of_tasks(tasks))]
    return np.array(flat, np.float32)


def _in_space(space: spaces.Dict, task: Mapping[str, Any]) -> Task:
    """The task with the types its space expects: NumPy arrays of its dtype, Python integers for Discrete."""
    converted: Task = {}
    for name, entry in space.spaces.items():
        value = task[name]
        if isinstance(entry, spaces.Discrete):
            if isinstance(value, str) or value != int(value):
                raise ValueError(f"{name} = {value!r} is not a whole number")
            converted[name] = np.int64(value)
        else:
            converted[name] = np.asarray(value, dtype=entry.dtype).reshape(entry.shape)
    return converted


def parse_task(space: spaces.Dict, value: Any, where: str = "task") -> Task:
    """A task from a JSON value such as {"goal": [0.3, -0.2]}; raises FamilyError naming what does not fit."""
    if not isinstance(value, Mapping):
        raise FamilyError(f"{where}: expected an object with {', '.join(space.spaces)}; got {value!r}")
    for name in value:
        if name not in space.spaces:
            raise FamilyError(f"{where}: unknown entry '{name}'{nearest(name, space.spaces)}")
    for name in space.spaces:
        if name not in value:
            raise FamilyError(f"{where}: entry '{name}' is missing; expected a value in {space.spaces[name]}")
    try:
        task = _in_space(space, value)
    except (TypeError, ValueError, OverflowError) as error:
        raise FamilyError(f"{where}: {json.dumps(value, default=str)} is not in {space}: {error}") from None
    for name, entry in space.spaces.items():
        if not entry.contains(task[name]):
            raise FamilyError(f"{where}: {name} = {value[name]} is outside {entry}")
    return task


def task_to_json(space: spaces.Dict, task: Mapping[str, Any]) -> dict[str, Any]:
    return {name: entry.to_jsonable([task[name]])[0] for name, entry in space.spaces.items()}


def write_tasks(path: Path, space: spaces.Dict, tasks: Tasks) -> None:
    """Store a list of tasks as JSON, one object a task."""
    listed = [task_to_json(space, task_at(tasks, i)) for i in range(number_of_tasks(tasks))]
    path.write_text(json.dumps(listed, indent=1) + "\n")


def read_tasks(path: Path, space: spaces.Dict) -> Tasks:
    """The tasks that `write_tasks` stored."""
    try:
        listed = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise FamilyError(f"{path}: cannot be read as a list of tasks: {error}") from None
    if not isinstance(listed, list) or not listed:
        raise FamilyError(f"{path}: expected a list of tasks")
    return batch_tasks([parse_task(space, value, f"{path}: task {i}") for i, value in enumerate(listed)])


class Splits(Protocol):
    """How a family's tasks are divided. `kind` is "disjoint" or "shared", and every result says which."""

    @property
    def kind(self) -> str: ...

    @property
    def names(self) -> tuple[str, ...]: ...

    def sample(self, n: int, split: str, rng: np.random.Generator) -> Tasks: ...


class UniformSplits:
    """Uniform draws from the training space; out-of-distribution draws from the rest of the task space.

    meta-train, meta-validation and meta-test share the distribution, as in the published protocols; which
    tasks each one serves differs, because the generator is keyed by the split. With continuous entries no
    task is served by two splits.
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
        """Disjoint where something continuous varies, so that no task is drawn twice; otherwise splits share tasks."""
        entries = self.train_space.spaces.values()
        varies = any(isinstance(e, spaces.Box) and _is_continuous(e) and bool((e.low < e.high).any()) for e in entries)
        return "disjoint" if varies else "shared"

    @property
    def names(self) -> tuple[str, ...]:
        return SPLITS if self.train_space is not self.task_space else SPLITS[:3]

    def sample(self, n: int, split: str, rng: np.random.Generator) -> Tasks:
        if split not in self.names:
            raise FamilyError(f"unknown split '{split}'{nearest(split, self.names)}")
        if split != "out-of-distribution":
            return _uniform(self.train_space, n, rng)
        found: list[Task] = []
        for _ in range(1000):
            candidates = _uniform(self.task_space, n, rng)
            for i in range(n):
                task = task_at(candidates, i)
                inside = all(
                    e.contains(_in_space(self.train_space, task)[k]) for k, e in self.train_space.spaces.items()
                )
                if not inside:
                    found.append(task)
            if len(found) >= n:
                return batch_tasks(found[:n])
        raise FamilyError("out-of-distribution: the training space fills the task space, so nothing lies outside it")


class ListedSplits:
    """A finite family: every split is a list of tasks, drawn without repetition until the list is used up."""

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
        return tuple(self.lists)

    def sample(self, n: int, split: str, rng: np.random.Generator) -> Tasks:
        if split not in self.lists:
            raise FamilyError(f"unknown split '{split}'{nearest(split, self.lists)}")
        tasks = self.lists[split]
        size = number_of_tasks(tasks)
        order = np.concatenate([rng.permutation(size) for _ in range(-(-n // size))])[:n]
        return {name: values[order] for name, values in tasks.items()}


def shared_splits(tasks: Sequence[Task]) -> ListedSplits:
    """A published finite set that serves training and test alike (Cheetah direction, for one)."""
    return ListedSplits(dict.fromkeys(SPLITS[:3], tasks), kind="shared")


def _uniform(space: spaces.Dict, n: int, rng: np.random.Generator) -> Tasks:
    """n uniform draws from a Dict space, task by task, so that more draws begin with the same tasks."""
    if space.spaces and all(_is_continuous(entry) for entry in space.spaces.values()):
        return _uniform_continuous(space, n, rng)
    return batch_tasks([{name: _draw(name, entry, rng) for name, entry in space.spaces.items()} for _ in range(n)])


def _uniform_continuous(space: spaces.Dict, n: int, rng: np.random.Generator) -> Tasks:
    """The same numbers by a single call, which takes them from the generator in the order of the rows."""
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

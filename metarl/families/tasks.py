"""Tasks and batches of them.

A task is a value of a family's `task_space` (a Dict space); a batch is the same dictionary with a leading axis.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from metarl.core.errors import FamilyError, nearest

Task = dict[str, Any]

Tasks = dict[str, np.ndarray]


def batch_tasks(tasks: Sequence[Mapping[str, Any]]) -> Tasks:
    """A batch from single tasks."""
    return {name: np.array([np.asarray(task[name]) for task in tasks]) for name in tasks[0]}


def number_of_tasks(tasks: Tasks) -> int:
    """Length of the leading axis."""
    return len(next(iter(tasks.values())))


def take_tasks(tasks: Tasks, index: slice | int) -> Tasks:
    """Some of a batch's tasks as a batch, or a single one."""
    return {name: values[index] for name, values in tasks.items()}


def task_ids(tasks: Tasks) -> list[int]:
    """Equal numbers for equal tasks, in the order of first occurrence: [0, 1, 0] where the first task occurs twice."""
    seen: dict[bytes, int] = {}
    rows = zip(*tasks.values(), strict=True)
    keys = [b"".join(np.asarray(value).tobytes() for value in row) for row in rows]
    return [seen.setdefault(key, len(seen)) for key in keys]


def task_at(tasks: Tasks, index: int) -> Task:
    """One task of a batch."""
    return take_tasks(tasks, index)


def join_tasks(batches: Sequence[Tasks]) -> Tasks:
    """One batch of several."""
    return {name: np.concatenate([tasks[name] for tasks in batches]) for name in batches[0]}


def task_vectors(space: spaces.Dict, tasks: Tasks) -> np.ndarray:
    """The tasks as flat vectors (tasks, size), float32: numbers as they are, discrete values one-hot."""
    flat = [spaces.flatten(space, in_space(space, task_at(tasks, i))) for i in range(number_of_tasks(tasks))]
    return np.array(flat, np.float32)


def in_space(space: spaces.Dict, task: Mapping[str, Any]) -> Task:
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
        task = in_space(space, value)
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

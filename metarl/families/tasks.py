"""Tasks and batches of tasks.

A task is a value of a family's `task_space` (a Dict space). A batch is the same dictionary with a leading axis.
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
"""One task: a value for each entry of the task space."""

Tasks = dict[str, np.ndarray]
"""A batch of tasks: an array with a leading `tasks` axis for each entry of the task space."""


def batch_tasks(tasks: Sequence[Mapping[str, Any]]) -> Tasks:
    """Stack single tasks to a batch.

    Example:
        >>> batch_tasks([{"goal": 1.0}, {"goal": 2.0}])
        {'goal': array([1., 2.])}
    """
    return {name: np.array([np.asarray(task[name]) for task in tasks]) for name in tasks[0]}


def number_of_tasks(tasks: Tasks) -> int:
    """Number of tasks in a batch."""
    return len(next(iter(tasks.values())))


def take_tasks(tasks: Tasks, index: slice | int) -> Tasks:
    """Tasks of a batch: a batch for a slice, a single task for an integer."""
    return {name: values[index] for name, values in tasks.items()}


def task_ids(tasks: Tasks) -> list[int]:
    """Equal numbers for equal tasks, in the order of first occurrence: [0, 1, 0] where the first task occurs twice."""
    seen: dict[bytes, int] = {}
    rows = zip(*tasks.values(), strict=True)
    keys = [b"".join(np.asarray(value).tobytes() for value in row) for row in rows]
    return [seen.setdefault(key, len(seen)) for key in keys]


def task_at(tasks: Tasks, index: int) -> Task:
    """The task at an index of a batch."""
    return take_tasks(tasks, index)


def join_tasks(batches: Sequence[Tasks]) -> Tasks:
    """Concatenate batches."""
    return {name: np.concatenate([tasks[name] for tasks in batches]) for name in batches[0]}


def task_vectors(space: spaces.Dict, tasks: Tasks) -> np.ndarray:
    """Tasks as flat float32 vectors (tasks, size), with discrete entries one-hot."""
    flat = [spaces.flatten(space, in_space(space, task_at(tasks, i))) for i in range(number_of_tasks(tasks))]
    return np.array(flat, np.float32)


def in_space(space: spaces.Dict, task: Mapping[str, Any]) -> Task:
    """The task with the types of its space: NumPy arrays of the dtype of a Box, int64 for Discrete."""
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
    """Convert a JSON value to a task.

    Args:
        space: The task space.
        value: A mapping such as {"goal": [0.3, -0.2]}.
        where: Start of error messages.

    Raises:
        FamilyError: An entry is unknown, missing, or outside its space; the message names it.

    Example:
        >>> parse_task(spaces.Dict({"arm": spaces.Discrete(3)}), {"arm": 5})
        Traceback (most recent call last):
        metarl.core.errors.FamilyError: task: arm = 5 is outside Discrete(3)
    """
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
    """A task as a value for JSON; the inverse of `parse_task`."""
    return {name: entry.to_jsonable([task[name]])[0] for name, entry in space.spaces.items()}


def write_tasks(path: Path, space: spaces.Dict, tasks: Tasks) -> None:
    """Write tasks as a JSON list with one object per task; `read_tasks` reads it.

    Args:
        path: The file; an existing one is overwritten.
        space: The task space.
        tasks: A batch of tasks.
    """
    listed = [task_to_json(space, task_at(tasks, i)) for i in range(number_of_tasks(tasks))]
    path.write_text(json.dumps(listed, indent=1) + "\n")


def read_tasks(path: Path, space: spaces.Dict) -> Tasks:
    """Read the tasks that `write_tasks` wrote.

    Args:
        path: The file.
        space: The task space.

    Raises:
        FamilyError: The file is not a list of tasks of this space.
    """
    try:
        listed = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise FamilyError(f"{path}: cannot be read as a list of tasks: {error}") from None
    if not isinstance(listed, list) or not listed:
        raise FamilyError(f"{path}: expected a list of tasks")
    return batch_tasks([parse_task(space, value, f"{path}: task {i}") for i, value in enumerate(listed)])

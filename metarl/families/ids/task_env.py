"""One environment of a family by its id: the task is given, or drawn at the first reset."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import gymnasium
import numpy as np

from metarl.core.errors import FamilyError, in_python_words, nearest
from metarl.families.family import TaskFamily
from metarl.families.registry import load_family
from metarl.families.tasks import Task, parse_task, task_at

SPLIT = "meta-train"
"""Split from which tasks are drawn."""


class TaskEnv(gymnasium.Env):
    """An environment of a family whose task is sticky: no reset changes it.

    Without a task, the first reset draws one of the training split, from its seed if it has one.

    Args:
        family: The family.
        task: A value of its task space; None to draw one.
        render_mode: Render mode of the environment.

    Raises:
        FamilyError: The environment cannot be built.
    """

    def __init__(self, family: TaskFamily, task: Task | None = None, render_mode: str | None = None) -> None:
        self.family, self.task, self.render_mode = family, task, render_mode
        self.observation_space, self.action_space = family.observation_space, family.action_space
        self._env = None if task is None else family.make(task, render_mode=render_mode)

    @cached_property
    def metadata(self) -> dict[str, Any]:  # type: ignore[override]
        """That of the family's environment, of any task."""
        env = self._env or self.family.make(self._drawn(np.random.default_rng(0)))
        if self._env is None:
            env.close()
        return env.metadata

    def _drawn(self, rng: np.random.Generator) -> Task:
        return drawn_task(self.family, rng)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode; `info["task"]` is the task."""
        super().reset(seed=seed)
        if self._env is None:
            self.task = self._drawn(np.random.default_rng(seed) if seed is not None else self.np_random)
            self._env = self.family.make(self.task, render_mode=self.render_mode)
        observation, info = self._env.reset(seed=seed, options=options)
        return observation, {**info, "task": copy.deepcopy(self.task)}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """One step of the family's environment; `info["task"]` is the task."""
        if self._env is None:
            raise gymnasium.error.ResetNeeded("reset must be called before step")
        observation, reward, terminated, truncated, info = self._env.step(action)
        return observation, reward, terminated, truncated, {**info, "task": copy.deepcopy(self.task)}

    def render(self) -> Any:
        """The picture of the family's environment."""
        return None if self._env is None else self._env.render()

    def close(self) -> None:
        """Close the family's environment."""
        if self._env is not None:
            self._env.close()


def make_env(
    family: str | TaskFamily, variant: str | None = None, render_mode: str | None = None, **task: Any
) -> TaskEnv:
    """Build the environment of an id, as `gymnasium.make` does.

    Args:
        family: The family, or its name.
        variant: Variant of the family (default: its first).
        render_mode: Render mode of the environment.
        **task: Entries of the task, all or none.

    Raises:
        FamilyError: There is no such variant, or an entry is unknown, missing or outside its space.

    Example:
        >>> env = make_env("navigation2d", goal=[0.3, -0.2])
        >>> env.reset(seed=1)[1]["task"]["goal"].tolist()
        [0.30000001192092896, -0.20000000298023224]
    """
    return TaskEnv(*family_and_task(family, variant, task), render_mode)


def drawn_task(family: TaskFamily, rng: np.random.Generator) -> Task:
    """One task of the training split.

    Args:
        family: The family.
        rng: The only source of randomness.
    """
    return task_at(family.sample_tasks(1, SPLIT, rng), 0)


def family_and_task(
    family: str | TaskFamily, variant: str | None, task: Mapping[str, Any]
) -> tuple[TaskFamily, Task | None]:
    """The family and the task that keyword arguments name.

    Args:
        family: The family, or its name.
        variant: Variant of the family (default: its first).
        task: Entries of the task, all or none.

    Returns:
        The family, and the task; None without entries.

    Raises:
        FamilyError: There is no such family or variant, or an entry is unknown, missing or outside its space.
    """
    with in_python_words():
        found = load_family(family, variant)
    return found, _given(found, task)


def _given(family: TaskFamily, task: Mapping[str, Any]) -> Task | None:
    if not task:
        return None
    valid = [*family.task_space.spaces, *(["variant"] if family.variants else [])]
    for name in task:
        if name not in valid:
            raise FamilyError(f"family '{family.name}': unknown argument '{name}'{nearest(name, valid)}")
    try:
        return parse_task(family.task_space, {name: _plain(value) for name, value in task.items()}, "task")
    except FamilyError as error:
        raise FamilyError(f"family '{family.name}', {error}") from None


def _plain(value: Any) -> Any:
    """Arrays and numbers of NumPy as JSON has them."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value

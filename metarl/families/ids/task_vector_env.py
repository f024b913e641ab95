"""Several environments of a family by its id, stepped as one batch where the family can."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from metarl.core.errors import ConfigError
from metarl.families.family import TaskFamily
from metarl.families.ids.task_env import SPLIT, drawn_task, family_and_task
from metarl.families.tasks import Task, Tasks, batch_tasks


class TaskBatchEnv(VectorEnv):
    """Sub-environments of a family, each with a sticky task: the given one, or one of its own.

    Tasks of their own are drawn from the training split at the first reset, from its seed if it has one, or each from
    its own of several seeds. A sub-environment whose episode ends is reset by the same step (autoreset SAME_STEP): the
    observation returned is the first of the next episode; `info["final_obs"]` has the last one of the episode that
    ended, and `info["final_info"]` the info of that step.

    Args:
        family: The family.
        num_envs: Number of sub-environments.
        task: A task for all; None to draw tasks.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012 (gymnasium's own declaration)

    def __init__(self, family: TaskFamily, num_envs: int, task: Task | None = None) -> None:
        if num_envs < 1:
            raise ConfigError(f"num_envs = {num_envs}; expected at least 1")
        self.family, self.num_envs = family, num_envs
        self.single_observation_space, self.single_action_space = family.observation_space, family.action_space
        self.observation_space = batch_space(family.observation_space, num_envs)
        self.action_space = batch_space(family.action_space, num_envs)
        self.tasks = None if task is None else batch_tasks([task] * num_envs)
        self._envs: VectorEnv | None = None

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:  # type: ignore[override]
        """Start episodes in all sub-environments, or in those of `options["reset_mask"]`."""
        seed = int(seed) if isinstance(seed, np.integer) else seed
        super().reset(seed=seed if isinstance(seed, int) else None)
        if not isinstance(seed, int | None) and len(seed) != self.num_envs:
            raise ConfigError(f"seed = {seed!r:.80}; expected a whole number, or one for each of {self.num_envs}")
        if self._envs is None:
            self.tasks = self.tasks or self._drawn(seed)
            self._envs = self.family.make_vec(self.tasks, 1)
        observations, info = self._envs.reset(seed=seed, options=options)
        return observations, {**info, "task": copy.deepcopy(self.tasks)}

    def _drawn(self, seed: int | Sequence[int | None] | None) -> Tasks:
        if isinstance(seed, int | None):
            rng = self.np_random if seed is None else np.random.default_rng(seed)
            return self.family.sample_tasks(self.num_envs, SPLIT, rng)
        each = (self.np_random if own is None else np.random.default_rng(own) for own in seed)
        return batch_tasks([drawn_task(self.family, rng) for rng in each])

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:  # type: ignore[override]
        """One step of all sub-environments, and a reset of those whose episode ends."""
        if self._envs is None:
            raise gymnasium.error.ResetNeeded("reset must be called before step")
        observations, rewards, terminated, truncated, info = self._envs.step(actions)
        ended = terminated | truncated
        info = {**info, "task": copy.deepcopy(self.tasks)}
        if ended.any():
            last = {"final_obs": observations.copy(), "final_info": info}
            info = info | last | {"_final_obs": ended, "_final_info": ended}
            started, _ = self._envs.reset(options={"reset_mask": ended})
            shape = (-1, *[1] * (observations.ndim - 1))
            observations = np.where(ended.reshape(shape), started, observations)
        return observations, rewards, terminated, truncated, info

    def close(self, **arguments: Any) -> None:
        """Close the family's environments."""
        if self._envs is not None:
            self._envs.close()


def make_vector_env(
    family: str | TaskFamily,
    num_envs: int = 1,
    variant: str | None = None,
    render_mode: str | None = None,
    **task: Any,
) -> TaskBatchEnv:
    """Build the vector environment of an id, as `gymnasium.make_vec` does.

    Args:
        family: The family, or its name.
        num_envs: Number of sub-environments.
        variant: Variant of the family (default: its first).
        render_mode: None, since one batch is not rendered.
        **task: Entries of a task for all sub-environments, all or none.

    Raises:
        ConfigError: `num_envs` is below 1, or there is a render mode.
        FamilyError: There is no such variant, or an entry is unknown, missing or outside its space.

    Example:
        >>> envs = make_vector_env("navigation2d", 3)
        >>> envs.reset(seed=1)[1]["task"]["goal"].shape
        (3, 2)
    """
    if render_mode is not None:
        raise ConfigError(f"render_mode = {render_mode!r}: a batch is not rendered; give vectorization_mode='sync' too")
    found, given = family_and_task(family, variant, task)
    return TaskBatchEnv(found, num_envs, given)

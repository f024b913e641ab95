"""Base class and helpers of vector environments over tasks. Worker processes import it, so it imports no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from jaxtyping import Bool

from metarl.core.errors import EnvironmentFault, FamilyError, MetarlError
from metarl.families.tasks import Tasks, number_of_tasks

Holder = TypeVar("Holder", bound=gymnasium.Env)


class TaskVectorEnv(VectorEnv):
    """A vector environment of tasks x episodes sub-environments in task-major order, with autoreset disabled.

    Subclasses implement `reset` and `step`. A sub-environment whose episode ended is reset, by
    `options={"reset_mask": mask}`, before its next step.

    Args:
        observation_space: Space of one observation.
        action_space: Space of one action.
        tasks: A batch of tasks.
        episodes: Sub-environments of each task.
    """

    metadata = {"autoreset_mode": AutoresetMode.DISABLED}  # noqa: RUF012 (gymnasium's own declaration)

    def __init__(
        self, observation_space: gymnasium.Space, action_space: gymnasium.Space, tasks: Tasks, episodes: int
    ) -> None:
        self.shape = (number_of_tasks(tasks), episodes)
        self.num_envs = self.shape[0] * episodes
        self.single_observation_space, self.single_action_space = observation_space, action_space
        self.observation_space = batch_space(observation_space, self.num_envs)
        self.action_space = batch_space(action_space, self.num_envs)

    def check_tasks(self, tasks: Tasks) -> None:
        """Raise FamilyError unless the number of tasks is the one that the environment was built for."""
        check_number(tasks, self.shape[0])

    def seeds_of(self, seed: int | Sequence[int | None] | None) -> list[int | None] | None:
        """A seed for each sub-environment, consecutive ones for a single seed; None for None."""
        if isinstance(seed, int):
            return [seed + i for i in range(self.num_envs)]
        return None if seed is None else list(seed)


def check_number(tasks: Tasks, expected: int) -> None:
    """Raise FamilyError unless the number of tasks is the expected one."""
    if number_of_tasks(tasks) != expected:
        raise FamilyError(f"set_tasks: expected {expected} tasks; got {number_of_tasks(tasks)}")


def mask_of(options: Mapping[str, Any] | None) -> Any:
    """The `reset_mask` among the options of a vector environment's `reset`; None means all sub-environments."""
    return None if options is None else options.get("reset_mask")


@contextmanager
def environment_faults(place: str, method: str, step: int | None = None) -> Iterator[None]:
    """Convert exceptions of environments inside the block to EnvironmentFault; errors of metarl pass unchanged.

    Args:
        place: Start of the message, such as "family 'navigation2d', task 3".
        method: The method that is called, for the message.
        step: The step of the episode, for the message.
    """
    try:
        yield
    except MetarlError:
        raise
    except Exception as error:
        when = "" if step is None else f" (step {step})"
        raise EnvironmentFault(f"{place}: {method} raised {type(error).__name__}: {error}{when}") from error


def wrapper_of(env: gymnasium.Env, kind: type[Holder]) -> Holder:
    """The wrapper of a given class around an environment, which must have one."""
    layer: Any = env
    while not isinstance(layer, kind):
        layer = layer.env
    return layer


NAMES = ("success", "is_success")
"""Entries of a step's info that report success, in the order of preference."""

Flags = Bool[np.ndarray, " envs"]


def successes_in(info: Mapping[str, Any], envs: int) -> Flags | None:
    """Success of each sub-environment according to a step's info; None if the info has no such entry.

    A sub-environment whose own info has no entry counts as not successful.

    Raises:
        ValueError: The entry does not have one value for each sub-environment.
    """
    for name in NAMES:
        if name in info:
            found = np.asarray(info[name])
            if found.shape[:1] != (envs,) or found.size != envs:
                raise ValueError(f"info['{name}'] has shape {found.shape}; expected ({envs},)")
            return found.reshape(envs).astype(bool)
    return None


def joined_successes(parts: Sequence[Flags | None], sizes: Sequence[int]) -> Flags | None:
    """Concatenate the successes of several vector environments; None if none of them reports success."""
    if all(part is None for part in parts):
        return None
    filled = [np.zeros(n, bool) if part is None else part for part, n in zip(parts, sizes, strict=True)]
    return np.concatenate(filled)

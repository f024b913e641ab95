"""What all vector environments of tasks share. Worker processes load it, so it imports no torch."""

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

    Subclasses step them. A sub-environment that ended is reset, by a mask, before it is stepped again.
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
        """Raise FamilyError unless there are as many tasks as the environment was built for."""
        check_number(tasks, self.shape[0])

    def seeds_of(self, seed: int | Sequence[int | None] | None) -> list[int | None] | None:
        """A seed for each sub-environment: consecutive ones from a single seed, None where none was given."""
        if isinstance(seed, int):
            return [seed + i for i in range(self.num_envs)]
        return None if seed is None else list(seed)


def check_number(tasks: Tasks, expected: int) -> None:
    """Raise FamilyError for another number of tasks than expected."""
    if number_of_tasks(tasks) != expected:
        raise FamilyError(f"set_tasks: expected {expected} tasks; got {number_of_tasks(tasks)}")


def mask_of(options: Mapping[str, Any] | None) -> Any:
    """The mask of the sub-environments that a vector environment's `reset` is to start; None for all of them."""
    return None if options is None else options.get("reset_mask")


@contextmanager
def environment_faults(place: str, method: str, step: int | None = None) -> Iterator[None]:
    """Raise EnvironmentFault in place of any other exception: it names the place, the method and the step."""
    try:
        yield
    except MetarlError:
        raise
    except Exception as error:
        when = "" if step is None else f" (step {step})"
        raise EnvironmentFault(f"{place}: {method} raised {type(error).__name__}: {error}{when}") from error


def wrapper_of(env: gymnasium.Env, kind: type[Holder]) -> Holder:
    """The layer of that class among the wrappers of an environment that has one."""
    layer: Any = env
    while not isinstance(layer, kind):
        layer = layer.env
    return layer


NAMES = ("success", "is_success")

Flags = Bool[np.ndarray, " envs"]


def successes_in(info: Mapping[str, Any], envs: int) -> Flags | None:
    """Which lanes of a vector environment a step's info calls successful; None where it says nothing of any.

    A lane whose own info says nothing has not succeeded. Raises ValueError for anything but a value a lane.
    """
    for name in NAMES:
        if name in info:
            found = np.asarray(info[name])
            if found.shape[:1] != (envs,) or found.size != envs:
                raise ValueError(f"info['{name}'] has shape {found.shape}; expected ({envs},)")
            return found.reshape(envs).astype(bool)
    return None


def joined_successes(parts: Sequence[Flags | None], sizes: Sequence[int]) -> Flags | None:
    """The lanes of several environments one after another; None where none of them says anything."""
    if all(part is None for part in parts):
        return None
    filled = [np.zeros(n, bool) if part is None else part for part, n in zip(parts, sizes, strict=True)]
    return np.concatenate(filled)

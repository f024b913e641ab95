"""Real environments as lanes of one process, with names for what goes wrong in them. Workers load it, so no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space

from metarl.errors import EnvironmentFault, FamilyError, MetarlError
from metarl.families import ObserveTask, TaskFamily
from metarl.tasks import Tasks, number_of_tasks, task_at, task_vectors

Note = Callable[[int, int], None]
"""Told a lane and the step that it is about to take (0 for its reset)."""


class _Lane(gymnasium.Wrapper):
    """Names the lane in whatever its environment raises, and refuses observations of another shape."""

    def __init__(self, env: gymnasium.Env, family: TaskFamily, number: int, episodes: int, note: Note) -> None:
        super().__init__(env)
        # Bounds may depend on the task; what must agree is the shape.
        self.observation_space = family.observation_space
        self._shape = family.observation_space.shape
        self._number, self._note = number, note
        self._place = lane_in_words(family, number, episodes)
        self._steps = 0

    def reset(self, **arguments: Any) -> tuple[Any, dict]:
        self._steps = 0
        self._note(self._number, 0)
        try:
            observation, info = self.env.reset(**arguments)
        except Exception as error:
            raise EnvironmentFault(f"{self._place}: reset raised {type(error).__name__}: {error}") from error
        return self._checked(observation, "reset"), self._dictionary(info, "reset")

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict]:
        self._steps += 1
        self._note(self._number, self._steps)
        try:
            observation, reward, terminated, truncated, info = self.env.step(action)
        except Exception as error:
            raised = f"step raised {type(error).__name__}: {error} (step {self._steps})"
            raise EnvironmentFault(f"{self._place}: {raised}") from error
        for field, value, kinds, expected in (
            ("reward", reward, "biuf", "a number"),
            ("terminated", terminated, "biu", "true or false"),
            ("truncated", truncated, "biu", "true or false"),
        ):
            kind = np.asarray(value)
            if kind.ndim or kind.dtype.kind not in kinds:
                raise self._returned("step", f"{field} = {value!r:.80}", expected)
        observation = self._checked(observation, "step")
        return observation, reward, terminated, truncated, self._dictionary(info, "step")

    def _checked(self, observation: Any, method: str) -> np.ndarray:
        try:
            array = np.asarray(observation)
        except ValueError:  # rows of different lengths
            raise self._returned(method, f"observation = {observation!r:.80}", "an array") from None
        if array.shape != self._shape:
            raise self._returned(method, f"an observation of shape {array.shape}", str(self._shape))
        if array.dtype.kind not in "biuf":
            raise self._returned(method, f"an observation of type {array.dtype}", str(self.observation_space.dtype))
        return array

    def _dictionary(self, info: Any, method: str) -> dict:
        if not isinstance(info, dict):
            raise self._returned(method, f"info = {info!r:.80}", "a dictionary")
        return info

    def _returned(self, method: str, what: str, expected: str) -> EnvironmentFault:
        return EnvironmentFault(f"{self._place}: {method} returned {what}; expected {expected} (step {self._steps})")


def lane_in_words(family: TaskFamily, number: int, episodes: int) -> str:
    """For messages: which task and episode a lane, counted task-major, belongs to."""
    return f"family '{family.name}', task {number // episodes}, episode lane {number % episodes}"


class SyncLaneEnv(SyncVectorEnv):
    """gymnasium's synchronous vector environment over tasks x episodes lanes, re-tasked without rebuilding.

    `lanes` picks some of them, counted task-major (default: all); `note` is told what each is about to do.
    """

    def __init__(
        self,
        family: TaskFamily,
        tasks: Tasks,
        episodes: int,
        *,
        lanes: Sequence[int] | None = None,
        note: Note = lambda lane, step: None,
    ) -> None:
        self.family = family
        self.shape = (number_of_tasks(tasks), episodes)
        self.lanes = range(self.shape[0] * episodes) if lanes is None else lanes

        def made(number: int) -> _Lane:
            try:
                env = family.make(task_at(tasks, number // episodes))
            except MetarlError:
                raise
            except Exception as error:
                place = lane_in_words(family, number, episodes)
                raise FamilyError(f"{place}: {type(error).__name__}: {error}") from error
            return _Lane(env, family, number, episodes, note)

        super().__init__(
            [lambda number=number: made(number) for number in self.lanes],  # type: ignore[misc]
            autoreset_mode=AutoresetMode.DISABLED,
        )

    def set_tasks(self, tasks: Tasks) -> None:
        if number_of_tasks(tasks) != self.shape[0]:
            raise FamilyError(f"set_tasks: expected {self.shape[0]} tasks; got {number_of_tasks(tasks)}")
        for number, env in zip(self.lanes, self.envs, strict=True):
            assert isinstance(env, _Lane)
            task = number // self.shape[1]
            try:
                self.family.set_task(env.env, task_at(tasks, task))
            except MetarlError:
                raise
            except Exception as error:
                place = f"family '{self.family.name}', task {task}"
                raise FamilyError(f"{place}: set_task raised {type(error).__name__}: {error}") from error


class ObserveTaskVectorEnv(VectorWrapper):
    """Lanes of a family with the task, as a flat vector, appended to every observation."""

    def __init__(self, family: ObserveTask, env: VectorEnv, tasks: Tasks) -> None:
        super().__init__(env)
        self.family = family
        self.single_observation_space = family.observation_space
        self.observation_space = batch_space(family.observation_space, env.num_envs)
        self._note(tasks)

    def _note(self, tasks: Tasks) -> None:
        vectors = task_vectors(self.family.task_space, tasks)
        self._vectors = np.repeat(vectors, self.num_envs // len(vectors), 0)

    def set_tasks(self, tasks: Tasks) -> None:
        self.env.set_tasks(tasks)  # type: ignore[attr-defined]
        self._note(tasks)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        observations, info = self.env.reset(seed=seed, options=options)
        return self._with_task(observations), info

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict]:
        observations, *rest = self.env.step(actions)
        return self._with_task(observations), *rest  # type: ignore[return-value]

    def _with_task(self, observations: Any) -> np.ndarray:
        return np.concatenate([np.asarray(observations, np.float32), self._vectors], 1)

"""Task families: a distribution of environments that share spaces and differ in a task.

There are three ways to write a family: subclass `AnalyticFamily` with pure batched functions, declare one over a
Gymnasium environment with `declare_family`, or subclass `TaskFamily` and build the environments yourself.
This module imports no torch, so that families can be listed and validated quickly.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from metarl.core.errors import ConfigError, EnvironmentFault, FamilyError, MetarlError, nearest
from metarl.families.splits import Splits
from metarl.families.tasks import Task, Tasks, number_of_tasks, task_at
from metarl.families.vector import check_number, environment_faults
from metarl.references.reference import Reference

if TYPE_CHECKING:
    from gymnasium.vector import VectorEnv


class TaskFamily(ABC):
    """Environments that share observation space, action space and horizon, and differ in their task.

    A task is sticky: `make` and `set_task` set it, and no reset changes it. `metarl check` examines the contract.

    Example:
        >>> from metarl.families import load_family
        >>> family = load_family("navigation2d")
        >>> tasks = family.sample_tasks(3, "meta-train", np.random.default_rng(0))
        >>> tasks["goal"].shape
        (3, 2)
    """

    name: str
    variants: ClassVar[Mapping[str, str]] = {}
    """Names of the variants with a one-line description each; the first is the default."""
    variant: str | None = None
    task_space: spaces.Dict
    observation_space: spaces.Space
    unflattened: spaces.Space | None = None
    """Space of an observation before it is flattened; None where observations are not flattened."""
    action_space: spaces.Space
    horizon: int
    """Time limit of an episode in steps."""
    splits: Splits
    protocol: Mapping[str, str] = {}
    """Facts that are needed to compare returns: reward, termination, action scaling."""

    @abstractmethod
    def make(self, task: Task, *, render_mode: str | None = None) -> gymnasium.Env:
        """One environment with this task.

        Args:
            task: A value of the task space.
            render_mode: Render mode of the environment.
        """

    def make_vec(self, tasks: Tasks, episodes: int) -> VectorEnv:
        """A vector environment of tasks x episodes sub-environments in task-major order, with autoreset disabled.

        Args:
            tasks: A batch of tasks.
            episodes: Sub-environments of each task.
        """

        return SyncTaskVectorEnv(self, tasks, episodes)

    def trials(
        self, task: Task, episodes: int = 4, observe_history: bool = True, render_mode: str | None = None
    ) -> gymnasium.Env:
        """One environment whose episode is a trial: several episodes of this task, for learners with memory.

        Args:
            task: A value of the task space; `set_task` changes it.
            episodes: Inner episodes of a trial.
            observe_history: Whether observations are flat and end with the last action, the last reward and the last
                inner end.
            render_mode: Render mode of the environment.

        Returns:
            A `metarl.trials.TrialEnv`, which documents steps, seeds and info.

        Raises:
            ConfigError: `episodes` is below 1.
            FamilyError: With `observe_history`, a space has no flat form.

        Example:
            >>> from metarl.families import load_family
            >>> env = load_family("bernoulli-bandit").trials({"probabilities": np.array([0, 0, 0, 1, 0])}, episodes=2)
            >>> env.reset(seed=0)[0].tolist()  # 1 of the bandit, 5 actions, reward, inner end
            [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
            >>> observation, reward, terminated, _, info = env.step(3)
            >>> observation.tolist(), terminated, info["inner_episode"]
            ([0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0], False, 1)
            >>> env.step(3)[2]
            True
        """
        from metarl.trials.env import TrialEnv

        env = self.make(task, render_mode=render_mode)
        # Bounds may depend on the task, but a learner across tasks needs one space.
        space = self.observation_space
        return TrialEnv(env, self.horizon, episodes, observe_history=observe_history, observation_space=space)

    def make_trials_vec(
        self, tasks: Tasks, trials_per_task: int, episodes: int = 4, observe_history: bool = True
    ) -> VectorEnv:
        """A vector environment of tasks x trials_per_task environments of `trials`, in task-major order.

        A sub-environment whose trial ended is reset by the next step (autoreset NEXT_STEP), and keeps its task.

        Args:
            tasks: A batch of tasks.
            trials_per_task: Sub-environments of each task.
            episodes: Inner episodes of a trial.
            observe_history: As for `trials`.

        Raises:
            ConfigError: `trials_per_task` or `episodes` is below 1.
            FamilyError: With `observe_history`, a space has no flat form.

        Example:
            >>> from metarl.families import load_family
            >>> family = load_family("navigation2d")
            >>> tasks = family.sample_tasks(3, "meta-train", np.random.default_rng(0))
            >>> family.make_trials_vec(tasks, 2).reset(seed=0)[0].shape
            (6, 6)
        """
        if trials_per_task < 1:
            raise ConfigError(f"trials_per_task = {trials_per_task}; expected a whole number of at least 1")
        each = [task_at(tasks, task) for task in range(number_of_tasks(tasks)) for _ in range(trials_per_task)]
        return SyncVectorEnv(
            [partial(self.trials, task, episodes, observe_history) for task in each],
            autoreset_mode=AutoresetMode.NEXT_STEP,
        )

    @abstractmethod
    def set_task(self, env: gymnasium.Env, task: Task) -> None:
        """Change the task of an environment that `make` returned; a reset must follow.

        Args:
            env: The environment, possibly inside further wrappers.
            task: A value of the task space.
        """

    def sample_tasks(self, n: int, split: str, rng: np.random.Generator) -> Tasks:
        """Draw tasks of a split.

        Args:
            n: Number of tasks.
            split: One of `splits.names`.
            rng: The only source of randomness.

        Raises:
            FamilyError: The family has no such split.
        """
        return self.splits.sample(n, split, rng)

    def references(self) -> Mapping[str, Reference]:
        """Exact optima and known policies of the family, by name; a learner is measured against them. Default: none.

        `metarl evaluate RUN --references` shows them beside a run.
        """
        return {}

    def close(self) -> None:  # noqa: B027 (most families hold nothing)
        """Release resources of the family itself; callers close the environments that they made."""


def known_variant(name: str, variant: str, variants: Iterable[str]) -> str:
    """Return the variant if the family has it.

    Args:
        name: Name of the family, for the error message.
        variant: Name of the variant.
        variants: Names of all variants.

    Raises:
        FamilyError: There is no such variant; the message suggests the nearest.
    """
    if variant not in variants:
        raise FamilyError(f"family '{name}': unknown variant '{variant}'{nearest(variant, variants)}")
    return variant


Note = Callable[[int, int], None]
"""Callback with the index of a sub-environment and the step that it is about to take (0 for its reset)."""


class _CheckedEnv(gymnasium.Wrapper):
    """Adds the sub-environment to its error messages, and raises EnvironmentFault for invalid return values."""

    def __init__(self, env: gymnasium.Env, family: TaskFamily, number: int, episodes: int, note: Note) -> None:
        super().__init__(env)
        # Bounds may depend on the task; only the shape must agree.
        self.observation_space = family.observation_space
        self._shape = family.observation_space.shape
        self._number, self._note = number, note
        self._place = env_label(family, number, episodes)
        self._steps = 0

    def reset(self, **arguments: Any) -> tuple[Any, dict]:
        self._steps = 0
        self._note(self._number, 0)
        with environment_faults(self._place, "reset"):
            observation, info = self.env.reset(**arguments)
        return self._checked(observation, "reset"), self._dictionary(info, "reset")

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict]:
        self._steps += 1
        self._note(self._number, self._steps)
        with environment_faults(self._place, "step", self._steps):
            observation, reward, terminated, truncated, info = self.env.step(action)
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


def env_label(family: TaskFamily, number: int, episodes: int) -> str:
    """Family, task and episode of a sub-environment, for messages.

    Args:
        family: The family.
        number: Index of the sub-environment in task-major order.
        episodes: Sub-environments of each task.
    """
    return f"family '{family.name}', task {number // episodes}, episode {number % episodes}"


class SyncTaskVectorEnv(SyncVectorEnv):
    """gymnasium's synchronous vector environment over tasks x episodes sub-environments, re-tasked without rebuilding.

    Args:
        family: Makes the sub-environments.
        tasks: A batch of tasks.
        episodes: Sub-environments of each task.
        indices: Sub-environments to make, in task-major order (default: all).
        note: Called before each reset and step of a sub-environment.
    """

    def __init__(
        self,
        family: TaskFamily,
        tasks: Tasks,
        episodes: int,
        *,
        indices: Sequence[int] | None = None,
        note: Note = lambda env_index, step: None,
    ) -> None:
        self.family = family
        self.shape = (number_of_tasks(tasks), episodes)
        self.indices = range(self.shape[0] * episodes) if indices is None else indices

        def made(number: int) -> _CheckedEnv:
            try:
                env = family.make(task_at(tasks, number // episodes))
            except MetarlError:
                raise
            except Exception as error:
                place = env_label(family, number, episodes)
                raise FamilyError(f"{place}: {type(error).__name__}: {error}") from error
            return _CheckedEnv(env, family, number, episodes, note)

        super().__init__(
            [lambda number=number: made(number) for number in self.indices],  # type: ignore[misc]
            autoreset_mode=AutoresetMode.DISABLED,
        )

    def set_tasks(self, tasks: Tasks) -> None:
        """Change the tasks of all sub-environments; a reset must follow."""
        check_number(tasks, self.shape[0])
        for number, env in zip(self.indices, self.envs, strict=True):
            assert isinstance(env, _CheckedEnv)
            task = number // self.shape[1]
            try:
                self.family.set_task(env.env, task_at(tasks, task))
            except MetarlError:
                raise
            except Exception as error:
                place = f"family '{self.family.name}', task {task}"
                raise FamilyError(f"{place}: set_task raised {type(error).__name__}: {error}") from error

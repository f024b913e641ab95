"""Meta-World's ML1, ML10 and ML45 (Yu et al. 2020), with the package's own goals.

A task is an environment and the index of one of its goals. The package draws 50 goals per environment from a seed, and
50 more from the next seed: ML1 trains on the first 50 and is tested on the second.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from metarl.core.errors import FamilyError
from metarl.families.family import TaskFamily, known_variant
from metarl.families.splits import SPLITS, ListedSplits
from metarl.families.tasks import Task

GOALS = 50
"""Number of goals of an environment in each split, as in the published benchmarks."""

SEED = 1
"""Seed of the meta-train goals; those of meta-test are drawn from the next seed."""

OBSERVATION = 39
"""Size of an observation: hand, gripper and objects now and one step before, and the goal, hidden as zeros."""


def package() -> Any:
    """The package metaworld; raises FamilyError if it is not installed."""
    try:
        import metaworld
    except ImportError as error:
        raise FamilyError(f"Meta-World: {error}; pip install 'metarl-toolkit[metaworld]' installs it") from None
    return metaworld


@cache
def benchmark(environment: str, seed: int) -> Any:
    """The package's ML1 of an environment: 50 training goals and 50 test goals, drawn by 100 resets (seconds)."""
    return package().ML1(environment, seed=seed)


def goal(environment: str, number: int) -> Any:
    """A goal by index: 50 of meta-train, then 50 of meta-test, then 50 of meta-validation."""
    part, place = divmod(number, GOALS)
    drawn = benchmark(environment, SEED if part < 2 else SEED + 2)
    return (drawn.test_tasks if part == 1 else drawn.train_tasks)[place]


class _Arm(gymnasium.Wrapper):
    """One of the package's environments with a goal; it is rebuilt for a task of another environment."""

    spec = None  # type: ignore[assignment]

    def __init__(self, family: MetaWorld, task: Task, render_mode: str | None) -> None:
        self.family = family
        self._render_mode = render_mode
        super().__init__(family.build(task, render_mode))
        self.observation_space = family.observation_space
        self.action_space = family.action_space
        self._environment = family.environment_of(task)
        self.env.set_task(family.goal_of(task))  # type: ignore[attr-defined]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        if seed is not None:
            self.env.unwrapped.seed(seed)  # type: ignore[attr-defined]  # the package's reset ignores it
        return self.env.reset(options=options)

    def set_task(self, task: Task) -> None:
        name = self.family.environment_of(task)
        if name != self._environment:
            self.env.close()
            self.env = self.family.build(task, self._render_mode)
            self._environment = name
        self.env.set_task(self.family.goal_of(task))  # type: ignore[attr-defined]


class MetaWorld(TaskFamily):
    """A Sawyer arm with table-top tasks and a hidden goal.

    Args:
        name: Name of the family.
        training: Environments of meta-train and meta-validation.
        test: Environments of meta-test (default: those of training, with other goals).
    """

    def __init__(self, name: str, training: Sequence[str], test: Sequence[str] = ()) -> None:
        self.name = name
        self.environments = [*training, *test]
        self.observation_space = spaces.Box(-np.inf, np.inf, (OBSERVATION,), np.float64)
        self.action_space = spaces.Box(-1.0, 1.0, (4,), np.float32)
        self.horizon = 500
        # A single environment is not part of the task, since `metarl check` rejects an entry that cannot vary.
        several = len(self.environments) > 1
        named = {"environment": spaces.Discrete(len(self.environments))} if several else {}
        self.task_space = spaces.Dict({**named, "goal": spaces.Discrete(3 * GOALS)})
        every = range(len(self.environments))
        seen, unseen = (every[: len(training)], every[len(training) :]) if test else (every, every)
        entries = self.task_space.spaces
        lists = {
            split: [
                {name: np.int64(value) for name, value in (("environment", place), ("goal", number)) if name in entries}
                for place in places
                for number in goals
            ]
            for split, places, goals in zip(
                SPLITS,
                (seen, seen, unseen),
                (range(GOALS), range(2 * GOALS, 3 * GOALS), range(GOALS, 2 * GOALS)),
                strict=False,
            )
        }
        self.splits = ListedSplits(lists)
        self.protocol = {
            "horizon": "500",
            "reward": "the package's own (v2), 0 to 10 a step",
            "actions": "clipped to [-1, 1]",
            "end": "time limit",
        }

    def environment_of(self, task: Task) -> str:
        """Name of a task's environment."""
        return self.environments[int(task.get("environment", 0))]

    def goal_of(self, task: Task) -> Any:
        """A task's goal, as the package represents it."""
        return goal(self.environment_of(task), int(task["goal"]))

    def build(self, task: Task, render_mode: str | None) -> gymnasium.Env:
        """The package's environment of a task, without its goal."""
        constructors = package().env_dict.ALL_V3_ENVIRONMENTS
        return constructors[self.environment_of(task)](render_mode=render_mode)

    def make(self, task: Task, *, render_mode: str | None = None) -> gymnasium.Env:
        """One environment with this task."""
        return _Arm(self, task, render_mode)

    def set_task(self, env: gymnasium.Env, task: Task) -> None:
        """Change the task of an environment; a reset must follow."""
        holder: Any = env
        while not isinstance(holder, _Arm):
            holder = holder.env
        holder.set_task(task)


def ml1(variant: str = "push-v3") -> MetaWorld:
    """ML1: one environment, named by the variant, with different goals for training and test."""
    family = MetaWorld("metaworld-ml1", [known_variant("metaworld-ml1", variant, package().ML1.ENV_NAMES)])
    family.variant = variant
    return family


def ml10() -> MetaWorld:
    """ML10: ten training environments and five other test environments."""
    benchmark = package().env_dict.ML10_V3
    return MetaWorld("metaworld-ml10", list(benchmark["train"]), list(benchmark["test"]))


def ml45() -> MetaWorld:
    """ML45: 45 training environments and five other test environments."""
    benchmark = package().env_dict.ML45_V3
    return MetaWorld("metaworld-ml45", list(benchmark["train"]), list(benchmark["test"]))

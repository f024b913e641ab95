"""Point robots of PEARL and VariBAD: dense reward with goals in a square, sparse reward with goals on a semicircle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from gymnasium import spaces

from metarl.families.analytic import AnalyticFamily
from metarl.families.family import known_variant
from metarl.families.splits import SPLITS, ListedSplits, Splits
from metarl.families.tasks import Task, Tasks
from metarl_envs.splits import OTHER_TASKS, PEARL_SEED, DrawnSplits, on_circle

if TYPE_CHECKING:
    from torch import Tensor

STEP_LIMIT = 0.1
GOAL_RADIUS = 0.2
TRAINING_GOALS = 80
TEST_GOALS = 20


class _PointRobot(AnalyticFamily):
    """The position, which is observed, moves by 0.1 times the action clipped to [-1, 1]; without termination."""

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    task_space = spaces.Dict({"goal": spaces.Box(-2.0, 2.0, (2,), np.float32)})

    def __init__(self, variant: str) -> None:
        self.variant = known_variant(self.name, variant, self.variants)

    def initial(self, task: Mapping[str, Tensor], noise: Tensor) -> tuple[Tensor, Tensor]:
        """The origin."""
        start = noise.new_zeros((*noise.shape[:-1], 2))
        return start, start

    def step(
        self, task: Mapping[str, Tensor], state: Tensor, action: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Move by 0.1 times the action."""
        import torch

        position = state + STEP_LIMIT * action
        reward = self.reward((position - task["goal"]).square().sum(-1).sqrt())
        return position, position, reward, torch.zeros_like(reward, dtype=torch.bool)

    def reward(self, distance: Tensor) -> Tensor:
        """Reward at a distance from the goal, shape (*envs)."""
        raise NotImplementedError


class PointRobot(_PointRobot):
    """Reward -|position - goal| with a start uniform in [-1, 1]^2; horizon 20.

    The goals are the published ones: 100 uniform draws in [-1, 1]^2 from NumPy's legacy generator with seed 1337, the
    first 80 for training and the last 20 for test. The next 20 draws are for validation. Out-of-distribution goals
    are drawn in [-2, 2]^2, outside that square.

    Args:
        variant: "pearl".
    """

    name = "point-robot"
    variants: ClassVar[Mapping[str, str]] = {"pearl": "100 fixed goals in [-1, 1]^2, random start, horizon 20 (PEARL)"}
    horizon = 20
    initial_noise = 2
    protocol: Mapping[str, str] = {
        "horizon": "20",
        "reward": "-|position - goal|",
        "start": "uniform in [-1, 1]^2",
        "actions": "clipped to [-1, 1], times 0.1",
        "end": "never",
    }

    def __init__(self, variant: str = "pearl") -> None:
        super().__init__(variant)
        generator = np.random.RandomState(PEARL_SEED)
        goals = generator.uniform(-1, 1, (TRAINING_GOALS + TEST_GOALS + OTHER_TASKS, 2))
        far = generator.uniform(-2, 2, (8 * OTHER_TASKS, 2))
        self.splits = _listed(goals, far[(np.abs(far) > 1).any(1)])

    def initial(self, task: Mapping[str, Tensor], noise: Tensor) -> tuple[Tensor, Tensor]:
        """Position uniform in [-1, 1]^2."""
        start = 2 * noise - 1
        return start, start

    def reward(self, distance: Tensor) -> Tensor:
        """Minus the distance."""
        return -distance


class SparsePointRobot(_PointRobot):
    """Reward 1 - |position - goal| within 0.2 of a goal on the upper unit semicircle, else 0, from the origin.

    Out-of-distribution goals are on the lower semicircle. The variant pearl has 100 equally spaced angles, shuffled
    with seed 1337: 80 for training and 20 for test. Angles between them are for validation. PEARL itself trains with
    the dense reward and evaluates with this one.

    Args:
        variant: A key of `variants`.
    """

    name = "sparse-point-robot"
    variants: ClassVar[Mapping[str, str]] = {
        "pearl": "100 fixed goals on the semicircle, horizon 20 (PEARL)",
        "varibad": "goals at any angle of the semicircle, horizon 100, trials of 3 episodes (VariBAD)",
    }

    def __init__(self, variant: str = "pearl") -> None:
        super().__init__(variant)
        published = variant == "pearl"
        self.horizon = 20 if published else 100
        self.splits: Splits = _pearl_angles() if published else DrawnSplits(_upper, _lower)
        self.protocol = {
            "horizon": "20" if published else "100, trials of 3 episodes",
            "reward": "1 - |position - goal| within 0.2 of the goal, else 0",
            "start": "(0, 0)",
            "actions": "clipped to [-1, 1], times 0.1",
            "end": "never",
        }

    def reward(self, distance: Tensor) -> Tensor:
        """1 - distance within the goal radius, else 0."""
        return (1 - distance) * (distance <= GOAL_RADIUS)


def _upper(rng: Any, n: int) -> Tasks:
    return {"goal": on_circle(rng.uniform(0, np.pi, n))}


def _lower(rng: Any, n: int) -> Tasks:
    return {"goal": on_circle(rng.uniform(np.pi, 2 * np.pi, n))}


def _pearl_angles() -> ListedSplits:
    count = TRAINING_GOALS + TEST_GOALS
    goals = on_circle(np.linspace(0, np.pi, count))
    np.random.RandomState(PEARL_SEED).shuffle(goals)
    spacing = np.pi / (count - 1)
    between = spacing * (np.linspace(0, count - 2, OTHER_TASKS).round() + 0.5)
    below = -np.pi * (np.arange(OTHER_TASKS) + 0.5) / OTHER_TASKS
    return _listed(np.concatenate([goals, on_circle(between)]), on_circle(below))


def _listed(goals: np.ndarray, far: np.ndarray) -> ListedSplits:
    """PEARL's division: the first goals are for training, the next for test, and the next for validation."""
    first, second = TRAINING_GOALS, TRAINING_GOALS + TEST_GOALS
    parts = (goals[:first], goals[second:], goals[first:second], far[:OTHER_TASKS])
    return ListedSplits({split: _tasks(part) for split, part in zip(SPLITS, parts, strict=True)})


def _tasks(goals: np.ndarray) -> list[Task]:
    return [{"goal": goal} for goal in goals.astype(np.float32)]

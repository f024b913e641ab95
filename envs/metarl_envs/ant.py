"""Ant families with a hidden velocity, direction or goal (Finn et al. 2017), on gymnasium's Ant-v5."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from gymnasium import spaces

from metarl.families.family import known_variant
from metarl.families.mujoco import Motion, MujocoFamily, actions_in_words
from metarl.families.splits import Splits, UniformSplits, shared_splits
from metarl.families.tasks import Tasks
from metarl_envs.splits import DrawnSplits, directions, on_circle, pearl_lists

CONTACT_COST = 5e-4
GOAL_RADIUS = 3.0
FARTHEST_GOAL = 4.5
FASTEST, OUTSIDE_FASTEST = 3.0, 4.5
GOAL_RANGE, OUTSIDE_GOAL_RANGE = 3.0, 6.0


class _Variant(NamedTuple):
    horizon: int
    action_bound: float
    control_cost: float
    survival: float
    heights: tuple[float, float] | None
    sees_place: bool
    sees_contacts: bool
    sees_world: bool = False
    """Whether the observation contains the six zeros of the world's body before the 13 others, as gym's cfrc_ext."""


FINN17 = _Variant(200, 1.0, 0.005, 0.05, (0.2, 1.0), True, True)


class _Ant(MujocoFamily):
    """Common base of the Ant families: the reward is the task's term plus survival minus costs.

    Costs are those of control and of clipped contact forces. Observations are position (in some variants without x and
    y), velocity, and in some variants the clipped contact forces on the 13 bodies, at the start of the last substep.

    Args:
        variant: A key of `choices`.
    """

    env_id = "Ant-v5"
    senses_contacts = True
    choices: ClassVar[Mapping[str, _Variant]]

    def __init__(self, variant: str) -> None:
        super().__init__()
        self.variant = known_variant(self.name, variant, self.choices)
        self._variant = chosen = self.choices[variant]
        self.horizon = chosen.horizon
        self.action_bound = chosen.action_bound
        self.protocol = {
            "horizon": str(chosen.horizon),
            "costs": f"{chosen.control_cost:g} |control|^2 + {CONTACT_COST:g} |contact forces|^2",
            "survival": f"{chosen.survival:g} a step",
            "actions": actions_in_words(chosen.action_bound),
            "end": "never" if chosen.heights is None else f"height outside {list(chosen.heights)}",
            "physics": "gymnasium's Ant-v5, warm start disabled",
        }

    def observe(self, motion: Motion) -> np.ndarray:
        """Position, velocity and contact forces, as the variant selects."""
        parts = [motion.position if self._variant.sees_place else motion.position[:, 2:], motion.velocity]
        if self._variant.sees_world:
            parts.append(np.zeros((len(motion.position), 6)))
        if self._variant.sees_contacts:
            parts.append(_clipped(motion).reshape(len(motion.position), -1))
        return np.concatenate(parts, 1)

    def ended(self, motion: Motion) -> np.ndarray:
        """Whether the height of the torso is outside the variant's bounds."""
        if self._variant.heights is None:
            return super().ended(motion)
        low, high = self._variant.heights
        height = motion.position[:, 2]
        return (height < low) | (height > high)

    def velocity(self, motion: Motion) -> np.ndarray:
        """Velocity of the torso in the plane, shape (envs, 2)."""
        return (motion.position[:, :2] - motion.before[:, :2]) / self.step_seconds

    def upkeep(self, motion: Motion) -> np.ndarray:
        """Survival reward minus costs, shape (envs,)."""
        control = self._variant.control_cost * np.square(motion.control).sum(1)
        return self._variant.survival - control - CONTACT_COST * np.square(_clipped(motion)).sum((1, 2))


class AntVelocity(_Ant):
    """Reward 1 - |v - v*| for the velocity along x. Out-of-distribution velocities are above the training range."""

    name = "ant-vel"
    choices: ClassVar[Mapping[str, _Variant]] = {"finn17": FINN17}
    variants: ClassVar[Mapping[str, str]] = {"finn17": "velocities in [0, 3], horizon 200"}
    task_space = spaces.Dict({"velocity": spaces.Box(0.0, OUTSIDE_FASTEST, (), np.float32)})
    splits = UniformSplits(task_space, spaces.Dict({"velocity": spaces.Box(0.0, FASTEST, (), np.float32)}))

    def __init__(self, variant: str = "finn17") -> None:
        super().__init__(variant)
        self.protocol = {**self.protocol, "reward": "1 - |v - v*| and upkeep", "velocities": "uniform in [0, 3]"}

    def reward(self, tasks: Tasks, motion: Motion) -> np.ndarray:
        """1 - |v - v*| plus upkeep."""
        return 1 - np.abs(self.velocity(motion)[:, 0] - tasks["velocity"]) + self.upkeep(motion)


class AntDirection(_Ant):
    """Reward d . v. finn17 and pearl-2 use two opposite directions for both training and test, as published."""

    name = "ant-dir"
    choices: ClassVar[Mapping[str, _Variant]] = {
        "finn17": FINN17,
        "promp": _Variant(100, 10.0, 0.5, 1.0, (0.0, 1.0), False, True, True),
        "pearl": _Variant(200, 1.0, 0.5, 1.0, (0.2, 1.0), False, False),
        "pearl-2": _Variant(200, 1.0, 0.5, 1.0, (0.2, 1.0), False, False),
    }
    variants: ClassVar[Mapping[str, str]] = {
        "finn17": "forward and backward, horizon 200",
        "promp": "any direction, horizon 100, actions in +-10",
        "pearl": "any direction, horizon 200",
        "pearl-2": "forward and backward, horizon 200, costs of pearl",
    }
    task_space = spaces.Dict({"direction": spaces.Box(-1.0, 1.0, (2,), np.float32)})

    def __init__(self, variant: str = "finn17") -> None:
        super().__init__(variant)
        both = variant in ("finn17", "pearl-2")
        self.splits: Splits = (
            shared_splits([{"direction": np.array([side, 0], np.float32)} for side in (-1, 1)])
            if both
            else DrawnSplits(directions("direction"))
        )
        drawn = "forward and backward" if both else "uniform angle"
        self.protocol = {**self.protocol, "reward": "d . v and upkeep", "directions": drawn}

    def reward(self, tasks: Tasks, motion: Motion) -> np.ndarray:
        """d . v plus upkeep."""
        return (self.velocity(motion) * tasks["direction"]).sum(1) + self.upkeep(motion)


class AntGoal(_Ant):
    """Reward 4 - |x - g|_1 (finn17) or -|x - g|_1. Out-of-distribution goals are beyond the training range."""

    name = "ant-goal"
    choices: ClassVar[Mapping[str, _Variant]] = {
        "finn17": FINN17,
        "promp": _Variant(100, 10.0, 0.1, 0.0, None, True, True, True),
        "pearl": _Variant(200, 1.0, 0.1, 0.0, None, True, True, True),
    }
    variants: ClassVar[Mapping[str, str]] = {
        "finn17": "goals in [-3, 3]^2, horizon 200",
        "promp": "goals in the disc of radius 3, horizon 100, actions in +-10",
        "pearl": "150 and 30 fixed goals in the disc of radius 3, horizon 200",
    }
    task_space = spaces.Dict({"goal": spaces.Box(-OUTSIDE_GOAL_RANGE, OUTSIDE_GOAL_RANGE, (2,), np.float32)})

    def __init__(self, variant: str = "finn17") -> None:
        super().__init__(variant)
        self.splits: Splits
        if variant == "finn17":
            square = spaces.Box(-GOAL_RANGE, GOAL_RANGE, (2,), np.float32)
            self.splits = UniformSplits(self.task_space, spaces.Dict({"goal": square}))
        elif variant == "promp":
            self.splits = DrawnSplits(_disc, _ring)
        else:
            self.splits = pearl_lists(_disc, _ring, training=150, test=30)
        self._offset = 4.0 if variant == "finn17" else 0.0
        reward = f"{f'{self._offset:g} ' if self._offset else ''}-|place - goal|_1 and upkeep"
        self.protocol = {**self.protocol, "reward": reward, "goals": self.variants[variant]}

    def reward(self, tasks: Tasks, motion: Motion) -> np.ndarray:
        """Offset - |x - g|_1 plus upkeep."""
        return self._offset - np.abs(motion.position[:, :2] - tasks["goal"]).sum(1) + self.upkeep(motion)


def _clipped(motion: Motion) -> np.ndarray:
    return np.clip(motion.contact_forces, -1, 1)


def _disc(rng: Any, n: int) -> Tasks:
    """Uniform draws in the disc by PEARL's two calls: first all angles, then all radii."""
    angles = rng.uniform(0, 2 * np.pi, n)
    radii = GOAL_RADIUS * np.sqrt(rng.uniform(0, 1, n))
    return {"goal": (radii[:, None] * on_circle(angles)).astype(np.float32)}


def _ring(rng: Any, n: int) -> Tasks:
    angles = rng.uniform(0, 2 * np.pi, n)
    return {"goal": (rng.uniform(GOAL_RADIUS + 0.01, FARTHEST_GOAL, n)[:, None] * on_circle(angles)).astype(np.float32)}

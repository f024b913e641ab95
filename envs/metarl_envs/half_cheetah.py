"""Half-Cheetah at a hidden velocity or in a hidden direction (Finn et al. 2017), on gymnasium's HalfCheetah-v5."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import numpy as np
from gymnasium import spaces

from metarl.families.family import known_variant
from metarl.families.mujoco import Motion, MujocoFamily, actions_in_words
from metarl.families.splits import Splits, UniformSplits, shared_splits
from metarl.families.tasks import Tasks
from metarl_envs.splits import pearl_lists, uniform

CONTROL_COST = 0.05
TORSO_HEIGHT = 0.7
"""Of the torso's origin where the position coordinate is zero."""


class _Variant(NamedTuple):
    horizon: int
    action_bound: float
    sees_torso: bool
    fastest: float = 0.0
    farthest: float = 0.0


VELOCITY_VARIANTS = {
    "finn17": _Variant(200, 1.0, True, 2.0, 4.0),
    "pytorch-maml-rl": _Variant(100, 10.0, True, 2.0, 4.0),
    "promp": _Variant(100, 10.0, False, 3.0, 4.5),
    "pearl": _Variant(200, 1.0, True, 3.0, 4.5),
    "varibad": _Variant(200, 1.0, True, 3.0, 4.5),
}
DIRECTION_VARIANTS = {
    "finn17": _Variant(200, 1.0, True),
    "promp": _Variant(100, 10.0, False),
    "pearl": _Variant(200, 1.0, True),
}


def _described(variants: Mapping[str, _Variant]) -> dict[str, str]:
    return {
        name: f"{f'velocities in [0, {v.fastest:g}], ' if v.fastest else ''}horizon {v.horizon}, "
        f"actions in +-{v.action_bound:g}, {20 if v.sees_torso else 17} observations"
        for name, v in variants.items()
    }


class _HalfCheetah(MujocoFamily):
    """Never done; reward of the velocity over the step less 0.05 |control|^2.

    20 observations are position but x, velocity and the torso's place in the world; 17 are without the last.
    """

    env_id = "HalfCheetah-v5"
    choices: ClassVar[Mapping[str, _Variant]]

    def __init__(self, variant: str) -> None:
        super().__init__()
        self.variant = known_variant(self.name, variant, self.choices)
        self._variant = chosen = self.choices[variant]
        self.horizon = chosen.horizon
        self.action_bound = chosen.action_bound
        self.protocol = {
            "horizon": str(chosen.horizon),
            "actions": actions_in_words(chosen.action_bound),
            "observation": "20, with the torso's place" if chosen.sees_torso else "17",
            "end": "never",
            "physics": "gymnasium's HalfCheetah-v5, warm start disabled",
        }

    def observe(self, motion: Motion) -> np.ndarray:
        parts = [motion.position[:, 1:], motion.velocity]
        if self._variant.sees_torso:
            x, height = motion.position[:, 0], motion.position[:, 1] + TORSO_HEIGHT
            parts.append(np.stack([x, np.zeros_like(x), height], 1))
        return np.concatenate(parts, 1)

    def velocity(self, motion: Motion) -> np.ndarray:
        return (motion.position[:, 0] - motion.before[:, 0]) / self.step_seconds

    def cost(self, motion: Motion) -> np.ndarray:
        return CONTROL_COST * np.square(motion.control).sum(1)


class CheetahVelocity(_HalfCheetah):
    """Reward -|v - v*| - 0.05 |control|^2; out of distribution are velocities above the training range."""

    name = "cheetah-vel"
    choices = VELOCITY_VARIANTS
    variants: ClassVar[Mapping[str, str]] = _described(VELOCITY_VARIANTS)

    def __init__(self, variant: str = "finn17") -> None:
        super().__init__(variant)
        fastest, farthest = self._variant.fastest, self._variant.farthest
        self.task_space = _velocities(farthest)
        self.splits: Splits = (
            pearl_lists(uniform("velocity", 0, fastest), uniform("velocity", fastest, farthest), training=100, test=30)
            if variant == "pearl"
            else UniformSplits(self.task_space, _velocities(fastest))
        )
        self.protocol = {
            **self.protocol,
            "reward": "-|v - v*| - 0.05 |control|^2",
            "velocities": f"uniform in [0, {fastest:g}]",
        }

    def reward(self, tasks: Tasks, motion: Motion) -> np.ndarray:
        return -np.abs(self.velocity(motion) - tasks["velocity"]) - self.cost(motion)


class CheetahDirection(_HalfCheetah):
    """Reward d v - 0.05 |control|^2 for the two directions d, the same in training and test, as published."""

    name = "cheetah-dir"
    choices = DIRECTION_VARIANTS
    variants: ClassVar[Mapping[str, str]] = _described(DIRECTION_VARIANTS)
    task_space = spaces.Dict({"direction": spaces.Box(-1.0, 1.0, (), np.float32)})
    splits = shared_splits([{"direction": np.float32(direction)} for direction in (-1, 1)])

    def __init__(self, variant: str = "finn17") -> None:
        super().__init__(variant)
        self.protocol = {**self.protocol, "reward": "d v - 0.05 |control|^2", "directions": "-1 and 1"}

    def reward(self, tasks: Tasks, motion: Motion) -> np.ndarray:
        return tasks["direction"] * self.velocity(motion) - self.cost(motion)


def _velocities(fastest: float) -> spaces.Dict:
    return spaces.Dict({"velocity": spaces.Box(0.0, fastest, (), np.float32)})

"""Half-Cheetah families with a hidden velocity or direction (Finn et al. 2017), on gymnasium's HalfCheetah-v5."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
from gymnasium import spaces

from metarl.families.family import known_variant
from metarl.families.mujoco import Motion, MujocoFamily, actions_in_words
from metarl.families.splits import Splits, UniformSplits, shared_splits
from metarl.families.tasks import Tasks
from metarl_envs.splits import pearl_lists, uniform

CONTROL_COST = 0.05
TORSO_HEIGHT = 0.7
"""Height of the torso's origin at a position coordinate of zero."""
PLACE_NOISE, VELOCITY_NOISE = 0.01, 0.1
"""Standard deviations of rllab's normal noise around the initial state; gymnasium's positions are uniform in +-0.1."""


class _Variant(NamedTuple):
    horizon: int
    action_bound: float
    sees_torso: bool
    fastest: float = 0.0
    farthest: float = 0.0
    rllab: bool = False
    """Whether the whole body's centre of mass is observed, and episodes start with rllab's noise."""


VELOCITY_VARIANTS = {
    "finn17": _Variant(200, 1.0, True, 2.0, 4.0, rllab=True),
    "pytorch-maml-rl": _Variant(100, 10.0, True, 2.0, 4.0),
    "promp": _Variant(100, 10.0, False, 3.0, 4.5),
    "pearl": _Variant(200, 1.0, True, 3.0, 4.5),
    "varibad": _Variant(200, 1.0, True, 3.0, 4.5),
}
DIRECTION_VARIANTS = {
    "finn17": _Variant(200, 1.0, True, rllab=True),
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
    """Common base of the Half-Cheetah families: a reward of the mean velocity, minus 0.05 |control|^2; no termination.

    The 20 observations are position without x, velocity, and a place in the world: that of the torso or, in finn17, of
    the whole body's centre of mass. The 17 observations have no place. In finn17 an episode starts with rllab's noise.

    Args:
        variant: A key of `choices`.
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
        if chosen.rllab:
            self.protocol |= {
                "observation": "20, with the centre of mass",
                "start": f"positions N(0, {PLACE_NOISE:g}^2), velocities N(0, {VELOCITY_NOISE:g}^2)",
                "physics": f"{self.protocol['physics']}; steps of 0.05 s (published: 0.01 s)",
            }

    def observe(self, motion: Motion) -> np.ndarray:
        """Position without x, velocity, and in some variants a place in the world."""
        parts = [motion.position[:, 1:], motion.velocity]
        if self._variant.sees_torso:
            x, height = motion.position[:, 0], motion.position[:, 1] + TORSO_HEIGHT
            if self._variant.rllab:
                across, up = self.from_torso(motion.position[:, 2:])
                x, height = x + across, height + up
            parts.append(np.stack([x, np.zeros_like(x), height], 1))
        return np.concatenate(parts, 1)

    def from_torso(self, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Offset of the centre of mass from the torso's origin, along x and up, for joint angles (envs, 7).

        Each link adds a vector of constant length, rotated by the sum of the angles up to that link. The result is the
        value after the step, whereas MuJoCo's sensor is read before the last substep.
        """
        turned_by, along, up = self._links
        turned = angles @ turned_by.T
        cosine, sine = np.cos(turned), np.sin(turned)
        return cosine @ along + sine @ up, cosine @ up - sine @ along

    @cached_property
    def _links(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Matrix (links, angles) of the angles that rotate each link, and x and z (links) of the links' vectors."""
        model = self.model
        turned_by = np.zeros((model.nbody, model.nbody - 1))
        vectors = model.body_mass[:, None] * model.body_ipos
        for link in range(1, model.nbody):
            parent = model.body_parentid[link]
            turned_by[link] = turned_by[parent]
            turned_by[link, link - 1] = 1
            vectors[parent] += model.body_subtreemass[link] * model.body_pos[link]
        vectors = vectors[1:] / model.body_subtreemass[1]
        return turned_by[1:], vectors[:, 0], vectors[:, 2]

    def initial_state(self, physics: Any) -> tuple[np.ndarray, np.ndarray] | None:
        """rllab's normal noise around the initial state in finn17; otherwise gymnasium's own initial state."""
        if not self._variant.rllab:
            return None
        position = PLACE_NOISE * physics.np_random.standard_normal(physics.model.nq)
        velocity = VELOCITY_NOISE * physics.np_random.standard_normal(physics.model.nv)
        return physics.init_qpos + position, physics.init_qvel + velocity

    def velocity(self, motion: Motion) -> np.ndarray:
        """Mean velocity along x over the step, shape (envs,)."""
        return (motion.position[:, 0] - motion.before[:, 0]) / self.step_seconds

    def cost(self, motion: Motion) -> np.ndarray:
        """Control cost, shape (envs,)."""
        return CONTROL_COST * np.square(motion.control).sum(1)


class CheetahVelocity(_HalfCheetah):
    """Reward -|v - v*| - 0.05 |control|^2. Out-of-distribution velocities are above the training range."""

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
        """-|v - v*| minus the control cost."""
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
        """d v minus the control cost."""
        return tasks["direction"] * self.velocity(motion) - self.cost(motion)


def _velocities(fastest: float) -> spaces.Dict:
    return spaces.Dict({"velocity": spaces.Box(0.0, fastest, (), np.float32)})

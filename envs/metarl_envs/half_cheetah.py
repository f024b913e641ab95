"""Half-Cheetah at a hidden velocity or in a hidden direction (Finn et al. 2017), on gymnasium's HalfCheetah-v5."""

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
"""Of the torso's origin where the position coordinate is zero."""
PLACE_NOISE, VELOCITY_NOISE = 0.01, 0.1
"""Standard deviations of rllab's normal noise around the initial state; gymnasium's positions are uniform in +-0.1."""


class _Variant(NamedTuple):
    horizon: int
    action_bound: float
    sees_torso: bool
    fastest: float = 0.0
    farthest: float = 0.0
    rllab: bool = False
    """Whether the whole body's centre of mass is observed, and episodes start, as in rllab."""


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
    """Never done; reward of the velocity over the step less 0.05 |control|^2.

    20 observations are position but x, velocity and a place in the world: the torso's or, in finn17, that of the
    whole body's centre of mass. 17 are without the place. In finn17 an episode starts with rllab's noise.
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
        parts = [motion.position[:, 1:], motion.velocity]
        if self._variant.sees_torso:
            x, height = motion.position[:, 0], motion.position[:, 1] + TORSO_HEIGHT
            if self._variant.rllab:
                across, up = self.from_torso(motion.position[:, 2:])
                x, height = x + across, height + up
            parts.append(np.stack([x, np.zeros_like(x), height], 1))
        return np.concatenate(parts, 1)

    def from_torso(self, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How far the centre of mass is from the torso's origin, along x and up, for joint angles (lanes, 7).

        Each link, turned by the sum of the angles up to it, adds a vector of constant length. This is the value after
        the step; MuJoCo's sensor, read before the last substep, would be late.
        """
        turned_by, along, up = self._links
        turned = angles @ turned_by.T
        cosine, sine = np.cos(turned), np.sin(turned)
        return cosine @ along + sine @ up, cosine @ up - sine @ along

    @cached_property
    def _links(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Which angles turn each link (links, angles), and its vector's x and z in its own frame (links)."""
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
        if not self._variant.rllab:
            return None
        position = PLACE_NOISE * physics.np_random.standard_normal(physics.model.nq)
        velocity = VELOCITY_NOISE * physics.np_random.standard_normal(physics.model.nv)
        return physics.init_qpos + position, physics.init_qvel + velocity

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

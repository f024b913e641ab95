"""Walker and Hopper families with masses, inertias, friction and damping as the task (rand_param_envs, PEARL)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces

from metarl.families.family import known_variant
from metarl.families.mujoco import Motion, MujocoFamily, actions_in_words
from metarl.families.tasks import Task, Tasks
from metarl_envs.splits import pearl_lists

BASES = {"body_mass": 1.5, "body_inertia": 1.5, "geom_friction": 1.5, "dof_damping": 1.3}
"""Base for each quantity of the model; its elements are multiplied by base ** exponent, with the task's exponents."""
EXPONENT, OUTSIDE_EXPONENT = 3.0, 4.0
CONTROL_COST = 0.001
SURVIVAL = 1.0
LARGEST_VELOCITY = 10.0


class _RandomParameters(MujocoFamily):
    """Reward v + 1 - 0.001 |control|^2; observations are position without x, and velocity clipped to [-10, 10].

    Exponents are uniform in [-3, 3]. Out-of-distribution exponents are in [-4, 4], some of them outside [-3, 3].
    Quantities that MuJoCo derives from masses are recomputed. A step has four substeps of 0.004 s, twice gymnasium's.

    Args:
        variant: "pearl".
    """

    variants: ClassVar[Mapping[str, str]] = {"pearl": "40 and 10 tasks drawn with seed 1337, horizon 200"}
    horizon = 200
    substep_seconds = 0.004
    end: ClassVar[str]
    sizes: ClassVar[Mapping[str, tuple[int, ...]]]

    def __init__(self, variant: str = "pearl") -> None:
        super().__init__()
        self.variant = known_variant(self.name, variant, self.variants)
        self.task_space = spaces.Dict(
            {
                name: spaces.Box(-OUTSIDE_EXPONENT, OUTSIDE_EXPONENT, size, np.float32)
                for name, size in self.sizes.items()
            }
        )
        self.splits = pearl_lists(self._draw, self._draw_outside, training=40, test=10)
        self.protocol = {
            "horizon": "200",
            "reward": "v + 1 - 0.001 |control|^2",
            "physics": f"gymnasium's {self.env_id} in substeps of 0.004 s, warm start disabled, parameters times "
            "1.5^u or 1.3^u",
            "actions": actions_in_words(self.action_bound),
            "end": self.end,
        }

    def _draw(self, rng: Any, n: int, largest: float = EXPONENT) -> Tasks:
        drawn = {name: rng.uniform(-largest, largest, (n, *size)) for name, size in self.sizes.items()}
        return {name: values.astype(np.float32) for name, values in drawn.items()}

    def _draw_outside(self, rng: Any, n: int) -> Tasks:
        # Some of so many exponents are almost surely outside the training range; one is set outside it.
        tasks = self._draw(rng, n, OUTSIDE_EXPONENT)
        tasks["body_mass"][:, 1] = EXPONENT + rng.uniform(0.01, OUTSIDE_EXPONENT - EXPONENT, n)
        return tasks

    @cached_property
    def _scratch(self) -> Any:
        import mujoco

        return mujoco.MjData(self.model)

    def model_for(self, task: Task) -> Any:
        """A copy of the original model with this task's parameters."""
        import copy

        import mujoco

        model = copy.copy(self.model)
        for name, base in BASES.items():
            getattr(model, name)[:] *= base ** np.asarray(task[name], np.float64)
        mujoco.mj_setConst(model, self._scratch)
        return model

    def observe(self, motion: Motion) -> np.ndarray:
        """Position without x, and clipped velocity."""
        velocity = np.clip(motion.velocity, -LARGEST_VELOCITY, LARGEST_VELOCITY)
        return np.concatenate([motion.position[:, 1:], velocity], 1)

    def reward(self, tasks: Tasks, motion: Motion) -> np.ndarray:
        """Velocity along x plus survival minus control cost."""
        velocity = (motion.position[:, 0] - motion.before[:, 0]) / self.step_seconds
        return velocity + SURVIVAL - CONTROL_COST * np.square(motion.control).sum(1)


class WalkerParameters(_RandomParameters):
    """Walker; an episode terminates at a height outside (0.8, 2) or an angle outside (-1, 1)."""

    name = "walker-params"
    env_id = "Walker2d-v5"
    env_options: ClassVar[Mapping[str, Any]] = {"xml_file": "walker2d.xml"}  # its right foot's friction is 0.9
    end = "height outside (0.8, 2) or angle outside (-1, 1)"
    sizes: ClassVar[Mapping[str, tuple[int, ...]]] = {
        "body_mass": (8,), "body_inertia": (8, 3), "geom_friction": (8, 3), "dof_damping": (9,)
    }  # fmt: skip

    def ended(self, motion: Motion) -> np.ndarray:
        """Whether height or angle is out of bounds."""
        height, angle = motion.position[:, 1], motion.position[:, 2]
        return ~((height > 0.8) & (height < 2.0) & (angle > -1.0) & (angle < 1.0))


class HopperParameters(_RandomParameters):
    """Hopper; an episode terminates at a height of 0.7, an angle outside (-0.2, 0.2), or a coordinate of 100."""

    name = "hopper-params"
    env_id = "Hopper-v5"
    end = "height below 0.7, angle outside (-0.2, 0.2), or a coordinate beyond 100"
    sizes: ClassVar[Mapping[str, tuple[int, ...]]] = {
        "body_mass": (5,), "body_inertia": (5, 3), "geom_friction": (5, 3), "dof_damping": (6,)
    }  # fmt: skip

    def ended(self, motion: Motion) -> np.ndarray:
        """Whether height, angle or another coordinate is out of bounds."""
        height, angle = motion.position[:, 1], motion.position[:, 2]
        state = np.concatenate([motion.position[:, 2:], motion.velocity], 1)
        return ~((np.abs(state) < 100).all(1) & (height > 0.7) & (np.abs(angle) < 0.2))

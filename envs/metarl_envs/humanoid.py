"""Humanoid running in a hidden direction, on gymnasium's Humanoid-v5."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from gymnasium import spaces

from metarl.families.family import known_variant
from metarl.families.mujoco import Motion, MujocoFamily, actions_in_words
from metarl.families.splits import Splits, shared_splits
from metarl.families.tasks import Tasks
from metarl_envs.splits import directions, pearl_lists

CONTROL_COST = 0.1
IMPACT_COST, LARGEST_IMPACT_COST = 5e-7, 10.0
SURVIVAL = 5.0
FORWARD = 0.25
HEIGHTS = (1.0, 2.0)


class HumanoidDirection(MujocoFamily):
    """Reward 0.25 d . (change of the centre of mass) / time step - 0.1 |control|^2 - impact + 5.

    An episode terminates at a height outside [1, 2]. The time step is the solver's, as in the published code, so the
    velocity counts five times. Impact is 5e-7 times the squared contact forces, at most 10. Observations are position
    without x and y, and velocity. The published observations also contain inertias and forces of every body, which
    `mujoco.rollout` does not return.

    Args:
        variant: A key of `variants`.
    """

    name = "humanoid-dir"
    variants: ClassVar[Mapping[str, str]] = {
        "pearl": "100 and 30 fixed directions, horizon 200",
        "promp": "forward and backward, horizon 200, actions in +-10",
    }
    env_id = "Humanoid-v5"
    senses_contacts = True
    horizon = 200
    task_space = spaces.Dict({"direction": spaces.Box(-1.0, 1.0, (2,), np.float32)})

    def __init__(self, variant: str = "pearl") -> None:
        super().__init__()
        self.variant = known_variant(self.name, variant, self.variants)
        self.action_bound = 10.0 if variant == "promp" else 1.0
        self.splits: Splits
        if variant == "pearl":
            self.splits = pearl_lists(directions("direction"), None, training=100, test=30)
        else:
            self.splits = shared_splits([{"direction": np.array([side, 0], np.float32)} for side in (-1, 1)])
        self.protocol = {
            "horizon": "200",
            "reward": "0.25 d . v - 0.1 |control|^2 - min(5e-7 |contact forces|^2, 10) + 5",
            "actions": actions_in_words(self.action_bound),
            "observation": "position without x and y, velocity",
            "end": "height outside [1, 2]",
            "physics": "gymnasium's Humanoid-v5, warm start disabled",
        }

    def observe(self, motion: Motion) -> np.ndarray:
        """Position without x and y, and velocity."""
        return np.concatenate([motion.position[:, 2:], motion.velocity], 1)

    def reward(self, tasks: Tasks, motion: Motion) -> np.ndarray:
        """Velocity along d minus costs, plus survival."""
        moved = (motion.sensors[:, :2] - motion.sensors_before[:, :2]) / self.model.opt.timestep
        impact = np.minimum(IMPACT_COST * np.square(motion.contact_forces).sum((1, 2)), LARGEST_IMPACT_COST)
        forward = FORWARD * (moved * tasks["direction"]).sum(1)
        return forward - CONTROL_COST * np.square(motion.control).sum(1) - impact + SURVIVAL

    def ended(self, motion: Motion) -> np.ndarray:
        """Whether the height is outside [1, 2]."""
        height = motion.position[:, 2]
        return (height < HEIGHTS[0]) | (height > HEIGHTS[1])

"""CartPole and Pendulum with varied physics: gymnasium's equations as batched functions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from gymnasium import spaces

from metarl.families.analytic import AnalyticFamily
from metarl.families.splits import UniformSplits

if TYPE_CHECKING:
    from torch import Tensor

GRAVITY = 9.8
CART_MASS = 1.0
CART_STEP = 0.02
ANGLE_LIMIT = 12 * 2 * math.pi / 360
PLACE_LIMIT = 2.4
START_RANGE = 0.05

PENDULUM_STEP = 0.05
MAX_SPEED = 8.0
MAX_TORQUE = 2.0


def _ranges(**bounds: tuple[float, float]) -> spaces.Dict:
    return spaces.Dict({name: spaces.Box(low, high, (), np.float32) for name, (low, high) in bounds.items()})


class CartPole(AnalyticFamily):
    """gymnasium's CartPole-v1 with the pole's mass, its half length and the force as the task; horizon 200.

    The reward is 1 per step. An episode terminates beyond 12 degrees or at a distance of 2.4 from the centre.
    """

    name = "cartpole"
    horizon = 200
    initial_noise = 4
    action_space = spaces.Discrete(2)
    observation_space = spaces.Box(-np.inf, np.inf, (4,), np.float32)
    task_space = _ranges(masspole=(0.02, 1.0), length=(0.1, 2.0), force_mag=(2.5, 20.0))
    splits = UniformSplits(task_space, _ranges(masspole=(0.05, 0.5), length=(0.25, 1.0), force_mag=(5.0, 15.0)))
    protocol: Mapping[str, str] = {
        "horizon": "200",
        "reward": "1 a step",
        "physics": "masspole in [0.05, 0.5], length in [0.25, 1], force_mag in [5, 15]",
        "end": "angle beyond 12 degrees or place beyond 2.4",
    }

    def initial(self, task: Mapping[str, Tensor], noise: Tensor) -> tuple[Tensor, Tensor]:
        """All four coordinates uniform in [-0.05, 0.05]."""
        start = START_RANGE * (2 * noise - 1)
        return start, start

    def step(
        self, task: Mapping[str, Tensor], state: Tensor, action: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """One Euler step."""
        import torch

        x, speed, angle, turning = state.unbind(-1)
        mass, length = task["masspole"], task["length"]
        total = mass + CART_MASS
        force = torch.where(action == 1, task["force_mag"], -task["force_mag"])
        cosine, sine = angle.cos(), angle.sin()
        pushed = (force + mass * length * turning.square() * sine) / total
        turned = (GRAVITY * sine - cosine * pushed) / (length * (4 / 3 - mass * cosine.square() / total))
        accelerated = pushed - mass * length * turned * cosine / total
        rates = torch.stack([speed, accelerated, turning, turned], -1)
        state = state + CART_STEP * rates
        terminated = (state[..., 0].abs() > PLACE_LIMIT) | (state[..., 2].abs() > ANGLE_LIMIT)
        return state, state, torch.ones_like(x), terminated


class Pendulum(AnalyticFamily):
    """gymnasium's Pendulum-v1 with gravity, mass and length as the task; horizon 200, without termination.

    The reward is -(angle^2 + 0.1 speed^2 + 0.001 torque^2) of the state before the step. The torque is twice the action
    in [-1, 1].
    """

    name = "pendulum"
    horizon = 200
    initial_noise = 2
    action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
    observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float32)
    task_space = _ranges(g=(5.0, 15.0), m=(0.5, 2.0), l=(0.5, 2.0))
    splits = UniformSplits(task_space, _ranges(g=(8.0, 12.0), m=(0.7, 1.4), l=(0.7, 1.4)))
    protocol: Mapping[str, str] = {
        "horizon": "200",
        "reward": "-(angle^2 + 0.1 speed^2 + 0.001 torque^2)",
        "physics": "g in [8, 12], m in [0.7, 1.4], l in [0.7, 1.4]",
        "actions": "clipped to [-1, 1], times 2",
        "end": "never",
    }

    def initial(self, task: Mapping[str, Tensor], noise: Tensor) -> tuple[Tensor, Tensor]:
        """Angle uniform in [-pi, pi], speed uniform in [-1, 1]."""
        state = (2 * noise - 1) * noise.new_tensor([math.pi, 1.0])
        return state, _seen(state)

    def step(
        self, task: Mapping[str, Tensor], state: Tensor, action: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """One semi-implicit Euler step."""
        import torch

        angle, speed = state.unbind(-1)
        torque = MAX_TORQUE * action[..., 0]
        wrapped = torch.remainder(angle + math.pi, 2 * math.pi) - math.pi
        reward = -(wrapped.square() + 0.1 * speed.square() + 0.001 * torque.square())
        length, mass = task["l"], task["m"]
        pull = 3 * task["g"] / (2 * length) * angle.sin() + 3 / (mass * length.square()) * torque
        speed = (speed + pull * PENDULUM_STEP).clamp(-MAX_SPEED, MAX_SPEED)
        state = torch.stack([angle + speed * PENDULUM_STEP, speed], -1)
        return state, _seen(state), reward, torch.zeros_like(reward, dtype=torch.bool)


def _seen(state: Tensor) -> Tensor:
    import torch

    return torch.stack([state[..., 0].cos(), state[..., 0].sin(), state[..., 1]], -1)

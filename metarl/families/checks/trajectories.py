"""Episodes of single environments under given actions, and their first difference."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces

TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}
"""Tolerance for float32 sums that a batch rounds differently."""


class Trajectory(NamedTuple):
    """One episode, with one more observation than rewards; `end` is "terminated", "truncated" or "running"."""

    observations: list[np.ndarray]
    rewards: list[float]
    end: str


def actions_for(space: spaces.Space, steps: int, seed: int, *, held: bool = False) -> list[Any]:
    """Random actions of a space.

    Args:
        space: The action space.
        steps: Number of actions.
        seed: Seed of the draws.
        held: Whether one action is drawn and repeated, which leads farther away from the start.
    """
    source = copy.deepcopy(space)
    source.seed(seed)
    if not held:
        return [source.sample() for _ in range(steps)]
    return [source.sample()] * steps


def record(env: gymnasium.Env, seed: int | None, actions: Sequence[Any]) -> Trajectory:
    """Reset an environment and take the actions until the episode ends."""
    observation, _ = env.reset(seed=seed)
    observations, rewards, end = [np.array(observation)], [], "running"
    for action in actions:
        observation, reward, terminated, truncated, _ = env.step(copy.copy(action))
        observations.append(np.array(observation))
        rewards.append(float(reward))
        if terminated or truncated:
            end = "terminated" if terminated else "truncated"
            break
    return Trajectory(observations, rewards, end)


def difference(a: Trajectory, b: Trajectory) -> str | None:
    """Description of the first difference between two episodes; None if they are equal within rounding."""
    for step, (ours, theirs) in enumerate(zip(a.observations, b.observations, strict=False)):
        if step > 0 and not np.allclose(a.rewards[step - 1], b.rewards[step - 1], **TOLERANCE, equal_nan=True):
            return f"reward of step {step - 1}: {a.rewards[step - 1]:.6g} and {b.rewards[step - 1]:.6g}"
        if ours.shape != theirs.shape or not np.allclose(ours, theirs, **TOLERANCE, equal_nan=True):
            return f"observation after {step} steps: {_short(ours)} and {_short(theirs)}"
    if (len(a.rewards), a.end) != (len(b.rewards), b.end):
        return f"{a.end} after {len(a.rewards)} steps and {b.end} after {len(b.rewards)}"
    return None


def _short(observation: np.ndarray) -> str:
    return np.array2string(observation.ravel(), precision=4, threshold=6, edgeitems=3).replace("\n", "")

"""2-D navigation: a point starts at the origin and moves to an unobserved goal (Finn et al. 2017, section 5.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from gymnasium import spaces

from metarl.families.analytic import AnalyticFamily
from metarl.families.family import known_variant
from metarl.families.splits import UniformSplits
from metarl.families.tasks import Task

if TYPE_CHECKING:
    from torch import Tensor

STEP_LIMIT = 0.1
DONE_WITHIN = 0.01


class _Variant(NamedTuple):
    description: str
    goal_range: float
    task_range: float
    action_bound: float
    action_scale: float
    end: str


VARIANTS = {
    "finn17": _Variant(
        "goals in [-0.5, 0.5]^2, policy actions in [-1, 1] scaled to steps of 0.1, done within 0.01 of the goal "
        "(cbfinn/maml_rl)", 0.5, 1.0, 1.0, STEP_LIMIT, "goal",
    ),
    "raw-action": _Variant(
        "as finn17, but the policy's action is clipped to +-0.1 and not scaled (pytorch-maml-rl, CAVIA, learn2learn)",
        0.5, 1.0, STEP_LIMIT, 1.0, "goal",
    ),
    "wide": _Variant(
        "goals in [-2, 2]^2, action clipped to +-0.1, done within 0.01 of the origin (ProMP)",
        2.0, 4.0, STEP_LIMIT, 1.0, "origin",
    ),
}  # fmt: skip


class Navigation2D(AnalyticFamily):
    """Reward -|position - goal| after each step of at most 0.1 per coordinate; horizon 100; the position is observed.

    An episode terminates if both coordinates are within 0.01 of the end. Out-of-distribution goals lie outside the
    training square, in a square of twice its width.

    Args:
        variant: A key of `VARIANTS`.
    """

    name = "navigation2d"
    variants: Mapping[str, str] = {name: v.description for name, v in VARIANTS.items()}  # type: ignore[misc]
    horizon = 100
    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)

    def __init__(self, variant: str = "finn17") -> None:
        self.variant = known_variant(self.name, variant, VARIANTS)
        self._variant = chosen = VARIANTS[variant]
        self.action_space = spaces.Box(-chosen.action_bound, chosen.action_bound, (2,), np.float32)
        self.task_space = _goals(chosen.task_range)
        self.splits = UniformSplits(self.task_space, _goals(chosen.goal_range))
        self.protocol = {
            "horizon": "100",
            "reward": "-|position - goal|",
            "goals": f"uniform in [-{chosen.goal_range:g}, {chosen.goal_range:g}]^2",
            "actions": "clipped to [-1, 1], times 0.1" if chosen.action_scale != 1 else "clipped to [-0.1, 0.1]",
            "end": f"within 0.01 of the {chosen.end} in both coordinates",
        }

    def initial(self, task: Mapping[str, Tensor], noise: Tensor) -> tuple[Tensor, Tensor]:
        """The origin."""
        start = noise.new_zeros((*noise.shape[:-1], 2))
        return start, start

    def step(
        self, task: Mapping[str, Tensor], state: Tensor, action: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Move by the scaled action."""
        position = state + action * self._variant.action_scale
        offset = position - task["goal"]
        reward = -offset.square().sum(-1).sqrt()
        to_end = offset if self._variant.end == "goal" else position
        terminated = (to_end.abs() < DONE_WITHIN).all(-1)
        return position, position, reward, terminated

    def draw(self, task: Task, observations: np.ndarray, size: int = 256) -> np.ndarray:
        """An image of twice the goals' range, with the path in grey, the agent in blue and the goal in red."""
        extent = 2 * self._variant.goal_range
        picture = np.full((size, size, 3), 255, np.uint8)

        def dot(point: Any, radius: int, colour: tuple[int, int, int]) -> None:
            x, y = (np.asarray(point) / extent + 1) / 2 * (size - 1)
            row, column = round(size - 1 - float(y)), round(float(x))
            picture[
                max(row - radius, 0) : max(row + radius + 1, 0),
                max(column - radius, 0) : max(column + radius + 1, 0),
            ] = colour

        for position in observations:
            dot(position, 1, (170, 170, 170))
        dot(task["goal"], 4, (214, 39, 40))
        dot(observations[-1], 4, (31, 119, 180))
        return picture


def _goals(extent: float) -> spaces.Dict:
    return spaces.Dict({"goal": spaces.Box(-extent, extent, (2,), np.float32)})

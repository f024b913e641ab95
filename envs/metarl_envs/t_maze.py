"""T-mazes: a sign at the start of a corridor tells which way to turn at its end (after Bakker 2002).

Between sign and junction all observations are the same, so a policy without memory turns wrong half of the time.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
from gymnasium import spaces

from metarl.families.analytic import AnalyticFamily
from metarl.families.family import known_variant
from metarl.families.splits import shared_splits
from metarl.references.reference import Reference
from metarl_envs.references.t_maze import constant, random_walk

if TYPE_CHECKING:
    from torch import Tensor

RIGHT_WAY, OTHERWISE = 4.0, -0.1
"""Rewards of the right turn, and of the wrong one or a step that leads nowhere."""
FORWARD = 0


class _Variant(NamedTuple):
    description: str
    length: int
    reversible: bool = False


VARIANTS = {
    "corridor-10": _Variant("corridor of 10 steps, the sign shows the side of the task", 10),
    "corridor-50": _Variant("corridor of 50 steps, the sign shows the side of the task", 50),
    "reversal-10": _Variant("corridor of 10 steps, another side in each episode; the task says what signs mean", 10,
                            reversible=True),
}  # fmt: skip


class TMaze(AnalyticFamily):
    """Actions forward, left, right; reward 4 for the right turn at the junction, which ends the episode.

    The observation is (sign left, sign right, junction), with the sign at the start only. A wrong turn ends the episode
    too. It costs 0.1, as does every step that leads nowhere. The horizon is twice the shortest episode.

    In the variants `corridor` the side is the task and the same in all episodes of a trial. In `reversal` it is drawn
    for each episode, and the task says whether the sign points to it or away from it: what signs mean has to be
    remembered from episode to episode, and the sign itself from the start to the junction in each of them.

    Args:
        variant: A key of `VARIANTS`.
    """

    name = "t-maze"
    variants: ClassVar[Mapping[str, str]] = {name: v.description for name, v in VARIANTS.items()}
    observation_space = spaces.Box(0.0, 1.0, (3,), np.float32)
    action_space = spaces.Discrete(3)

    def __init__(self, variant: str = "corridor-10") -> None:
        self.variant = known_variant(self.name, variant, VARIANTS)
        self._variant = chosen = VARIANTS[variant]
        self.horizon = 2 * (chosen.length + 1)
        self.initial_noise = int(chosen.reversible)
        self._entry = "reversed" if chosen.reversible else "side"
        self.task_space = spaces.Dict({self._entry: spaces.Discrete(2)})
        self.splits = shared_splits([{self._entry: np.int64(i)} for i in range(2)])
        self.protocol = {
            "reward": "4 for the right turn, -0.1 for the wrong one and for every step that leads nowhere",
            "corridor": f"{chosen.length} steps",
            "side": "drawn in each episode" if chosen.reversible else "that of the task",
            "end": "at the first turn at the junction",
        }

    def initial(self, task: Mapping[str, Tensor], noise: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """The start of the corridor, where the sign is seen."""
        import torch

        task_value = task[self._entry].expand(noise.shape[:-1])
        side = (noise[..., 0] < 0.5).long() if self._variant.reversible else task_value
        sign = (side + task_value) % 2 if self._variant.reversible else side
        place = torch.zeros_like(side)
        state = {"place": place, "side": side, "sign": sign, "right": torch.zeros_like(side, dtype=torch.bool)}
        return state, self._observed(state, noise)

    def step(
        self, task: Mapping[str, Tensor], state: dict[str, Tensor], action: Tensor, noise: Tensor
    ) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor]:
        """Walk on, or turn at the junction."""
        import torch

        junction = state["place"] == self._variant.length
        walks = ~junction & (action == FORWARD)
        turns = junction & (action != FORWARD)
        right = turns & (action - 1 == state["side"])
        reward = torch.where(right, RIGHT_WAY, torch.where(walks, 0.0, OTHERWISE)).to(noise.dtype)
        state = {**state, "place": state["place"] + walks.long(), "right": right}
        return state, self._observed(state, noise), reward, turns

    def succeeded(self, task: Mapping[str, Tensor], state: dict[str, Tensor]) -> Tensor:
        """Whether the last step was the right turn."""
        return state["right"]

    def references(self) -> Mapping[str, Reference]:
        """The optimum, the best policy without memory, the known task, and random actions."""
        guess = (RIGHT_WAY + OTHERWISE) / 2
        first = guess if self._variant.reversible else RIGHT_WAY
        walk = partial(random_walk, length=self._variant.length, horizon=self.horizon, turn=guess, nowhere=OTHERWISE)
        return {
            "oracle": Reference(
                "knows the task and remembers the sign", partial(constant, first=RIGHT_WAY, later=RIGHT_WAY),
                exact=True, bound=True, knows_task=True,
            ),
            "bayes-optimal": Reference(
                "remembers the sign, and what signs mean once an episode has shown it",
                partial(constant, first=first, later=RIGHT_WAY), exact=True, bound=True,
            ),
            "memoryless": Reference(
                "the best policy of the present observation, the same in all episodes: walks, turns by a fair coin",
                partial(constant, first=guess, later=guess), exact=True,
            ),
            "random": Reference("uniform actions", walk, exact=True),
        }  # fmt: skip

    def _observed(self, state: dict[str, Tensor], noise: Tensor) -> Tensor:
        import torch

        start, junction = state["place"] == 0, state["place"] == self._variant.length
        seen = [start & (state["sign"] == 0), start & (state["sign"] == 1), junction]
        return torch.stack(seen, -1).to(noise.dtype)

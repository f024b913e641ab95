"""The finite-horizon Gittins index of Bernoulli arms, by calibration.

The index of an arm with h pulls left is the known reward a pull at which playing on, with the option to retire, is
worth as much as retiring at once (Gittins 1979; for a finite horizon Nino-Mora 2011, "Computing a classic index for
finite-horizon bandits"). The policy that pulls the highest index is optimal for one unknown arm beside a known one, and
close to optimal for several; it is no bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from metarl_envs.references.bandits import play

GRID = 200
"""Retirement rewards between which the index is interpolated."""
LONGEST_TABLE = 500
"""Pulls up to which the table of indices fits in memory: their cube divided by three, 167 MB for 500."""


@lru_cache(maxsize=1)
def gittins_table(pulls: int, grid: int = GRID) -> list[Float[ndarray, "size size"]]:
    """Indices of arms with a uniform prior: entry h - 1 has those of h pulls left, by successes and failures.

    With W the value of playing on above retiring, for a retirement reward r and p = (s + 1) / (s + f + 2),

        D_h(s, f) = p - r + p W_{h-1}(s + 1, f) + (1 - p) W_{h-1}(s, f + 1),    W_h = max(0, D_h),    W_0 = 0,

    and the index is the zero of D_h, which decreases in r; it is interpolated linearly between values of r.

    Args:
        pulls: Pulls of a trial; h goes from 1 to it, and s + f up to `pulls` - h.
        grid: Number of intervals of r in [0, 1].

    Example:
        >>> table = gittins_table(pulls=2)
        >>> round(float(table[0][0, 0]), 4), round(float(table[1][0, 0]), 4)  # 1/2; (1/2 + 1/2 2/3) / (3/2)
        (0.5, 0.5556)
    """
    rewards = np.linspace(0.0, 1.0, grid + 1, dtype=np.float32)
    beyond = np.zeros((pulls + 1, pulls + 1, grid + 1), np.float32)
    table = []
    for left in range(1, pulls + 1):
        size = pulls - left + 1
        successes = np.arange(size)[:, None]
        chance = ((successes + 1) / (successes + np.arange(size) + 2)).astype(np.float32)[..., None]
        ahead = chance - rewards
        ahead += chance * beyond[1 : size + 1, :size]
        ahead += (1 - chance) * beyond[:size, 1 : size + 1]
        table.append(_zero(ahead, rewards))
        beyond = np.maximum(ahead, 0, out=ahead)
    return table


def _zero(decreasing: Float[ndarray, "size size grid"], at: Float[ndarray, " grid"]) -> Float[ndarray, "size size"]:
    """Where functions that decrease from above zero to at most zero cross it."""
    last = np.clip((decreasing > 0).sum(-1) - 1, 0, len(at) - 2)[..., None]
    high, low = (np.take_along_axis(decreasing, last + i, -1)[..., 0] for i in (0, 1))
    return at[last[..., 0]] + (at[1] - at[0]) * high / (high - low)


def gittins(
    tasks: Mapping[str, ndarray], pulls: int, trials: int, rng: np.random.Generator
) -> Float[ndarray, "tasks pulls"]:
    """Mean reward of each pull of the finite-horizon Gittins index policy.

    Args:
        tasks: A batch of tasks, with `probabilities` (tasks, arms).
        pulls: Pulls of a trial, at most `LONGEST_TABLE`.
        trials: Trials of each task.
        rng: Draws the rewards.
    """
    table = gittins_table(pulls)
    return play(lambda s, f, pull: table[pulls - pull - 1][s, f], tasks, pulls, trials, rng)

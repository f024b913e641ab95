"""Sinusoid regression: y = A sin(x - phase) from a few of its points."""

from __future__ import annotations

import math

import numpy as np
import torch
from gymnasium import spaces

from benchmarks.fewshot.supervised import Examples, draw_seeds
from metarl.core.prng import fold, uniform
from metarl.families.tasks import Tasks

GRID = 50
"""Points of the grid on which Reptile's variant is trained and evaluated."""

PROTOCOLS = {
    "finn17": "amplitude U[0.1, 5], phase U[0, pi], x U[-5, 5], y = A sin(x - phase) (Finn et al. 2017; CAVIA's too)",
    "reptile": "amplitude U[0.1, 5], phase U[0, 2 pi], x on 50 points from -5 to 5, y = A sin(x + phase); "
    "query examples are the whole grid (Nichol et al. 2018)",
}


def task_space(variant: str) -> spaces.Dict:
    """Amplitude and phase of a curve, and the draw of its points."""
    phase = math.pi if variant == "finn17" else 2 * math.pi
    return spaces.Dict(
        {
            "amplitude": spaces.Box(0.1, 5.0, ()),
            "phase": spaces.Box(0.0, phase, ()),
            "draw": spaces.Box(0, 2**31 - 1, (), np.int64),
        }
    )


def curve(tasks: Tasks, x: torch.Tensor, variant: str) -> torch.Tensor:
    """The targets of every task at x (tasks, points, 1), float64."""
    amplitude, phase = (torch.as_tensor(tasks[name]).double()[:, None, None] for name in ("amplitude", "phase"))
    return amplitude * torch.sin(x - phase if variant == "finn17" else x + phase)


def draw(tasks: Tasks, *, shots: int, queries: int, variant: str, dtype: torch.dtype) -> Examples:
    """Support and query points of every task, on the CPU."""
    seeds = draw_seeds(tasks)
    if variant == "finn17":
        x = 10 * uniform(fold(seeds[:, None], torch.arange(shots + queries))) - 5
        support, query = x[:, :shots], x[:, shots:]
    else:
        grid = torch.linspace(-5, 5, GRID, dtype=torch.float64)
        support = grid[uniform(fold(seeds[:, None], torch.arange(GRID))).argsort(1)[:, :shots]]
        query = grid.expand(len(seeds), -1)
    xs = support.unsqueeze(-1), query.unsqueeze(-1)
    ys = [curve(tasks, x, variant) for x in xs]
    return Examples(*(part.to(dtype) for part in (xs[0], ys[0], xs[1], ys[1])))

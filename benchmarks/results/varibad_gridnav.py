"""Grid navigation as in VariBAD (Zintgraf et al. 2020): the table of docs/memory.md.

A trial has four episodes of 15 steps. The authors show curves and no figures. The optimum is known in closed form:
37.21 over four episodes. Their RL2 trains for 20M environment steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.results.in_context import Options as InContext
from benchmarks.results.in_context import Setting, make_tables
from benchmarks.results.methods import TANH, Suite
from metarl.console import parse

SETTINGS = {
    "trial-of-4": Setting(
        "rl2-grid-navigation",
        Suite("grid-navigation", 0, 1.0, TANH, variant="varibad", episodes=2, tasks=100),
        tasks=210, trials=20, reference_trials=20,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Options(InContext):
    """RL2, gradient methods and references on the grid of VariBAD, trials of four episodes."""

    out: Path = Path("runs/varibad-gridnav")
    """Runs and results go to OUT/<setting>."""
    seeds: tuple[int, ...] = (11, 12, 13, 14, 15)
    """Training seeds; rates were searched with others."""


def main(arguments: Sequence[str]) -> None:
    """Make the table with a command line."""
    options = parse(Options, list(arguments), "python -m benchmarks.results varibad-gridnav")
    make_tables("varibad-gridnav", SETTINGS, options)

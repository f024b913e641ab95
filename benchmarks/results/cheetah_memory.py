"""Half-Cheetah in a hidden direction or at a hidden velocity, with memory: the tables of docs/memory.md.

A trial has two episodes of 200 steps in training, and four in the table: two episodes more than the memory was trained
on. The physics and rewards are those of Finn et al. (2017), whose gradient-based rows are in docs/results.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.results.in_context import Options as InContext
from benchmarks.results.in_context import Setting, make_tables
from metarl.console import parse

SETTINGS = {
    "direction": Setting("rl2-cheetah-dir", None, tasks=40, trials=20, reference_trials=None, further_episodes=2),
    "velocity": Setting("rl2-cheetah-vel", None, tasks=40, trials=20, reference_trials=None, further_episodes=2),
}


@dataclass(frozen=True)
class Options(InContext):
    """RL2 on Half-Cheetah in a hidden direction or at a hidden velocity, 20M environment steps a seed."""

    out: Path = Path("runs/cheetah-memory")
    """Runs and results go to OUT/<setting>."""
    methods: tuple[str, ...] = ()
    """Rows beside RL2: none here."""


def main(arguments: Sequence[str]) -> None:
    """Make the tables with a command line."""
    options = parse(Options, list(arguments), "python -m benchmarks.results cheetah-memory")
    make_tables("cheetah-memory", SETTINGS, options)

"""Bandits and random MDPs as in RL2 (Duan et al. 2016): the tables of docs/memory.md.

Published figures are means over 1,000 trials, as reprinted by lucaslingle/pytorch_rl2 beside its own. Its own are those
of the best moment of training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.results.in_context import Options as InContext
from benchmarks.results.in_context import Setting, make_tables
from benchmarks.results.methods import TANH, Suite
from metarl.config.protocols import find_protocol
from metarl.console import parse


def published(preset: str) -> dict[str, float]:
    """Published returns of a trial."""
    return {name: values[0] for name, values in find_protocol(preset).rows.items()}


def bandit(pulls: int, arms: int, support: int) -> Setting:
    """A table of Bernoulli bandits; gradient methods adapt after every `support` pulls."""
    preset = f"duan16-n{pulls}-k{arms}"
    return Setting(
        preset,
        Suite("bernoulli-bandit", 0, 2.0, TANH, variant=f"duan16-{arms}", episodes=support, tasks=400),
        tasks=10_000, trials=10 if pulls <= 10 else 1, validation_tasks=2000, published=published(preset),
    )  # fmt: skip


def random_mdp(episodes: int, support: int) -> Setting:
    """A table of random MDPs; gradient methods adapt after every `support` episodes."""
    preset = f"duan16-mdp-n{episodes}"
    return Setting(
        preset,
        Suite("tabular-mdp", 0, 2.0, TANH, episodes=support, tasks=100),
        tasks=10_000, trials=1, published=published(preset),
    )  # fmt: skip


SETTINGS = {
    "bandit-n10-k5": bandit(10, 5, 5),
    "bandit-n10-k10": bandit(10, 10, 5),
    "bandit-n100-k5": bandit(100, 5, 20),
    "mdp-n10": random_mdp(10, 5),
    "mdp-n25": random_mdp(25, 5),
}


@dataclass(frozen=True)
class Options(InContext):
    """RL2, gradient methods and references on bandits and random MDPs, beside the rows of Duan et al. (2016)."""

    out: Path = Path("runs/duan16")
    """Runs and results go to OUT/<setting>."""


def main(arguments: Sequence[str]) -> None:
    """Make the tables with a command line."""
    options = parse(Options, list(arguments), "python -m benchmarks.results duan16")
    make_tables("duan16", SETTINGS, options)

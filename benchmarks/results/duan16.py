"""Bandits and random MDPs as in RL2 (Duan et al. 2016): the tables of docs/memory.md.

Published figures are means over 1,000 trials, as reprinted by lucaslingle/pytorch_rl2 beside its own. Its own are those
of the best moment of training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.results.in_context import Options as InContext
from benchmarks.results.in_context import Setting, make_tables
from benchmarks.results.methods import TANH, Suite
from metarl.console import parse


def bandit(pulls: int, arms: int, support: int, published: Mapping[str, float]) -> Setting:
    """A table of Bernoulli bandits; gradient methods adapt after every `support` pulls."""
    return Setting(
        f"duan16-n{pulls}-k{arms}",
        Suite("bernoulli-bandit", 0, 2.0, TANH, variant=f"duan16-{arms}", episodes=support, tasks=400),
        tasks=10_000, trials=10 if pulls <= 10 else 1, validation_tasks=2000, published=published,
    )  # fmt: skip


def random_mdp(episodes: int, support: int, published: Mapping[str, float]) -> Setting:
    """A table of random MDPs; gradient methods adapt after every `support` episodes."""
    return Setting(
        f"duan16-mdp-n{episodes}",
        Suite("tabular-mdp", 0, 2.0, TANH, episodes=support, tasks=100),
        tasks=10_000, trials=1, published=published,
    )  # fmt: skip


SETTINGS = {
    "bandit-n10-k5": bandit(
        10, 5, 5, {"RL2, paper": 6.7, "RL2, repro": 6.7, "SNAIL, paper": 6.6, "SNAIL, repro": 6.8, "UCB1, paper": 6.7}
    ),
    "bandit-n10-k10": bandit(10, 10, 5, {"RL2, paper": 6.7, "SNAIL, paper": 6.7, "UCB1, paper": 6.7}),
    "bandit-n100-k5": bandit(
        100, 5, 20,
        {
            "RL2, paper": 78.7, "RL2, repro": 78.7, "SNAIL, paper": 79.1, "SNAIL, repro": 78.5, "Gittins, paper": 78.3,
            "UCB1, paper": 78.0,
        },
    ),
    "mdp-n10": random_mdp(
        10, 5,
        {"RL2, paper": 156.2, "RL2, repro": 157.3, "SNAIL, paper": 159.1, "SNAIL, repro": 160.1, "BEB, paper": 150.2},
    ),
    "mdp-n25": random_mdp(25, 5, {"RL2, paper": 445.7, "SNAIL, paper": 447.2, "BEB, paper": 427.8}),
}  # fmt: skip


@dataclass(frozen=True)
class Options(InContext):
    """RL2, gradient methods and references on bandits and random MDPs, beside the rows of Duan et al. (2016)."""

    out: Path = Path("runs/duan16")
    """Runs and results go to OUT/<setting>."""


def main(arguments: Sequence[str]) -> None:
    """Make the tables with a command line."""
    options = parse(Options, list(arguments), "python -m benchmarks.results duan16")
    make_tables("duan16", SETTINGS, options)

"""What a campaign counts, and the table at the end."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table


@dataclass
class Tally:
    """One campaign's counts: how often a promise was put to the test, and every time that it was broken."""

    claim: str
    tried: int = 0
    broken: list[str] = field(default_factory=list)
    counts: dict[str, float] = field(default_factory=dict)
    """What happened on the way, for the report."""

    def check(self, kept: bool, otherwise: str) -> bool:
        """Count a test; `otherwise` says what was found instead."""
        self.tried += 1
        if not kept:
            self.broken.append(otherwise)
        return kept

    def count(self, name: str, by: float = 1) -> None:
        self.counts[name] = self.counts.get(name, 0) + by

    def most(self, name: str, value: float) -> None:
        """Note the largest value that was seen."""
        self.counts[name] = max(self.counts.get(name, value), round(value, 3))


def print_campaign(name: str, tally: Tally, seconds: float) -> None:
    """A campaign's counts as it ends, with the first broken promises."""
    counts = "".join(f", {label} {value:g}" for label, value in tally.counts.items())
    print(f"{name}: tested {tally.tried}, broken {len(tally.broken)}{counts} ({seconds:.1f} s)", flush=True)
    for line in tally.broken[:10]:
        print(f"  broken: {line}", flush=True)


def print_table(tallies: dict[str, Tally]) -> None:
    table = Table(title="Promises put to the test")
    for column in ("campaign", "promise", "tested", "broken"):
        table.add_column(column, justify="right" if column in ("tested", "broken") else "left")
    for name, tally in tallies.items():
        table.add_row(name, tally.claim, str(tally.tried), str(len(tally.broken)))
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)

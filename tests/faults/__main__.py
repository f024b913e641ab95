"""`python -m tests.faults`: every promise about runs that are killed, damaged or misled, put to the test."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Annotated

# Before torch is loaded: processes that are forked must not share a pool of threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import tyro

from metarl.core.errors import nearest
from tests.faults import processes
from tests.faults.report import Tally, print_campaign, print_table

CAMPAIGNS = ("kills", "crashes", "damage", "signals", "hostile", "configurations", "environments", "divergence",
             "determinism", "storage", "refusals", "versions", "endurance")  # fmt: skip


@dataclass(frozen=True)
class FaultOptions:
    """Put to the test what is promised of runs that are killed, damaged or misled."""

    quick: bool = False
    """The size that the tests run."""
    only: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME [NAME ...]")] = ()
    """Campaigns to run; all by default."""
    json: Path | None = None
    """Write the report here."""
    seed: int = 1
    """Governs the moments and the damages."""


def main(options: FaultOptions) -> int:
    """Run the campaigns one after another; the exit code is 1 if a promise was broken."""
    for name in options.only:
        if name not in CAMPAIGNS:
            print(f"unknown campaign '{name}'{nearest(name, CAMPAIGNS)}", file=sys.stderr)
            return 2
    processes.warm()
    tallies: dict[str, Tally] = {}
    for name in options.only or CAMPAIGNS:
        started = time.monotonic()
        place = Path(tempfile.mkdtemp(prefix=f"faults-{name}-"))
        try:
            campaign = importlib.import_module(f"tests.faults.{name}").campaign
            tallies[name] = campaign(place, options.quick, Random(f"{options.seed}-{name}"))
        finally:
            shutil.rmtree(place, ignore_errors=True)
        print_campaign(name, tallies[name], time.monotonic() - started)
    print_table(tallies)
    if options.json is not None:
        report = {name: asdict(tally) for name, tally in tallies.items()}
        options.json.write_text(json.dumps({"quick": options.quick, "seed": options.seed, **report}, indent=1) + "\n")
    return int(any(tally.broken for tally in tallies.values()))


if __name__ == "__main__":
    sys.exit(main(tyro.cli(FaultOptions)))

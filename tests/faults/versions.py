"""Runs that earlier formats left, kept with the tests: each loads, or is refused with the reason."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from random import Random

from metarl.runs.manifest import FORMAT, sealed
from tests.faults.processes import metarl
from tests.faults.report import Tally

KEPT = Path(__file__).parents[2] / "tests" / "formats"


def campaign(place: Path, quick: bool, rng: Random) -> Tally:
    """Every format up to this version's is resumed and evaluated; one that is yet to come is refused."""
    tally = Tally("checkpoints of every format so far load")
    for number in range(1, FORMAT + 1):
        run = place / str(number)
        shutil.copytree(KEPT / str(number), run)
        for line in (
            ["resume", str(run), "--iterations", "3", "--extend-schedule", "--accept-numerics"],
            ["evaluate", str(run), "--tasks", "2"],
        ):
            process = metarl(line, place / "log")
            tally.check(process.wait() == 0, f"format {number}, {line[0]}: {process.said[-300:]}")
    run = place / "next"
    shutil.copytree(KEPT / str(FORMAT), run)
    path = run / "checkpoints" / "00000002" / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_bytes(sealed({**{k: v for k, v in manifest.items() if k != "sha256"}, "format": FORMAT + 1}))
    process = metarl(["resume", str(run), "--accept-numerics"], place / "log")
    code, reason = process.wait(), f"format {FORMAT + 1}; this version of metarl reads"
    tally.check(code == 2 and reason in process.said, f"format {FORMAT + 1}: exit code {code}: {process.said[-300:]}")
    return tally

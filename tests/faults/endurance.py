"""A long run of tiny iterations: memory and open files stay as they are."""

from __future__ import annotations

import json
import os
from pathlib import Path
from random import Random
from typing import Any

from tests.faults.processes import forked
from tests.faults.report import Tally
from tests.faults.tiny import SIZE, training


def campaign(place: Path, quick: bool, rng: Random) -> Tally:
    """Measured in the process itself after a tenth of the iterations and after the last; a checkpoint every 50."""
    iterations = 400 if quick else 10_000
    tally = Tally("a long run: memory within 1 %, open files constant")
    line = [*training(place / "run", iterations=iterations, every=50), *SIZE]
    process = forked(lambda: _train(line, place / "seen.json", iterations), place / "log")
    code = process.wait(7200.0)
    if not tally.check(code == 0, f"exit code {code}: {process.said[-300:]}"):
        return tally
    seen = json.loads((place / "seen.json").read_text())
    (first, files_first), (last, files_last) = seen[0], seen[-1]
    tally.count("iterations", iterations)
    tally.counts["MiB after a tenth"], tally.counts["MiB at the end"] = round(first, 1), round(last, 1)
    tally.counts["open files"] = files_last
    tally.check(last <= 1.01 * first, f"memory grew from {first:.1f} to {last:.1f} MiB")
    tally.check(files_first == files_last, f"open files went from {files_first} to {files_last}")
    return tally


def _train(line: list[str], output: Path, iterations: int) -> int:
    from metarl.cli import main
    from metarl.training.progress import TrainingDisplay

    seen: list[tuple[float, int]] = []

    def report(self: TrainingDisplay, record: dict[str, Any]) -> None:
        if record["iteration"] % (iterations // 10) == 0:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            seen.append((pages * os.sysconf("SC_PAGE_SIZE") / 2**20, len(os.listdir("/proc/self/fd"))))

    TrainingDisplay.report = report  # type: ignore[method-assign]
    code = main(line)
    output.write_text(json.dumps(seen))
    return code

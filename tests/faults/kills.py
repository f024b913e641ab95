"""kill -9 at random moments, many of them while a checkpoint is written; then resume and compare."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

from tests.faults.processes import Process, difference, metarl
from tests.faults.report import Tally
from tests.faults.tiny import NAVIGATION, training


def campaign(place: Path, quick: bool, rng: Random) -> Tally:
    """A resumed run may be killed as well; every one that ends is compared with one that was never interrupted."""
    tally = Tally("kill -9, resume: bitwise the uninterrupted run")
    wanted = 20 if quick else 100
    kinds = [
        lambda run: training(run, iterations=18),
        lambda run: training(run, algorithm="maml-trpo", family=NAVIGATION, iterations=6, every=1),
    ]
    references, seconds = [], []
    for number, kind in enumerate(kinds):
        started = time.monotonic()
        assert metarl(kind(place / f"whole-{number}"), place / f"whole-{number}.log").wait() == 0
        references.append(place / f"whole-{number}")
        seconds.append(time.monotonic() - started)
    kills, attempt = 0, 0
    while kills < wanted:
        which = attempt % len(kinds)
        run, log = place / f"killed-{attempt}", place / f"killed-{attempt}.log"
        attempt += 1
        line = kinds[which](run)
        killed_here = 0
        while True:
            process = metarl(line, log)
            if killed_here < 3 and kills < wanted and (killed_here == 0 or rng.random() < 0.5):
                _kill(process, run, rng, seconds[which])
            code = process.wait()
            if code != -9:
                break
            killed_here += 1
            kills += 1
            tally.count("kills")
            if any(run.glob(".staging-*")):
                tally.count("during a checkpoint write")
            line = ["resume", str(run)] if (run / "config.toml").exists() else kinds[which](run)
        if killed_here == 0:
            continue
        if tally.check(code == 0, f"{run.name}: resume ended with {code}: {process.said[-300:]}"):
            tally.check(difference(references[which], run) is None, f"{run.name}: {difference(references[which], run)}")
    share = tally.counts.get("during a checkpoint write", 0) / tally.counts["kills"]
    tally.check(share >= 0.25, f"only {share:.0%} of the kills hit a checkpoint write")
    return tally


def _kill(process: Process, run: Path, rng: Random, seconds: float) -> None:
    """At any moment of the run, or, half of the time, as soon as a checkpoint is being written after some moment."""
    moment = time.monotonic() + rng.uniform(0.0, 0.8 * seconds)
    in_write = rng.random() < 0.5
    while process.running() and time.monotonic() < moment:
        time.sleep(0.001)
    if in_write:
        while process.running() and not any(run.glob(".staging-*")):
            pass
        time.sleep(rng.uniform(0.0, 0.002))
    process.kill()

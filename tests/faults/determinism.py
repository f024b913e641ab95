"""The same run twice, with any number of workers, and with another number of threads."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

from tests.faults.processes import difference, metarl
from tests.faults.report import Tally
from tests.faults.tiny import NAVIGATION, training

ALGORITHMS = ("maml-trpo", "maml", "promp", "reptile", "pretrain")


def campaign(place: Path, quick: bool, rng: Random) -> Tally:
    """Tensors files and metrics are compared, byte by byte and line by line."""
    tally = Tally("determinism: repeated, and for any number of workers")
    for algorithm in ALGORITHMS[:2] if quick else ALGORITHMS:
        for again in ("a", "b"):
            line = training(place / f"{algorithm}-{again}", algorithm=algorithm, family=NAVIGATION, iterations=3)
            tally.check(metarl(line, place / "log").wait() == 0, f"{algorithm}: a run failed")
        found = difference(place / f"{algorithm}-a", place / f"{algorithm}-b")
        tally.check(found is None, f"{algorithm}, repeated: {found}")
    for workers in ("0", "1", "2", "4"):
        family = ["--family", "tests.faults.families:FAULTY", "--workers", workers]
        process = metarl(training(place / f"workers-{workers}", family=family, iterations=3), place / "log")
        tally.check(process.wait() == 0, f"{workers} workers: {process.said[-300:]}")
        found = difference(place / "workers-0", place / f"workers-{workers}")
        tally.check(found is None, f"{workers} workers: {found}")
    _threads(tally, place)
    return tally


def _threads(tally: Tally, place: Path) -> None:
    """A run goes on with the threads that it has recorded; where the user asks for others, it says so in one line."""

    def torch_has_two() -> None:
        import torch

        del os.environ["OMP_NUM_THREADS"]
        torch.set_num_threads(2)

    def user_asks_for_two() -> None:
        os.environ["OMP_NUM_THREADS"] = "2"

    line = ["resume", str(place / "maml-a"), "--iterations", "3"]
    process = metarl(line, place / "log", torch_has_two)
    process.wait()
    tally.check(not process.said, f"threads of torch: {process.said!r}")
    process = metarl(line, place / "log", user_asks_for_two)
    process.wait()
    expected = "trained with 1 threads, goes on with 2"
    tally.check(
        expected in process.said and len(process.said.splitlines()) == 1, f"threads of the user: {process.said!r}"
    )

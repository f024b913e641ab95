"""Checkpoint files cut short and with single bits flipped, under a run that is to be resumed."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

from metarl.core.errors import RunError
from metarl.runs.checkpoint import load_checkpoint
from tests.faults.processes import difference, metarl
from tests.faults.report import Tally
from tests.faults.tiny import training


def campaign(place: Path, quick: bool, rng: Random) -> Tally:
    """Each damage on a fresh copy: the loader refuses it; a sample is resumed by command as well."""
    tally = Tally("damaged checkpoint: detected, the previous one used")
    whole = place / "whole"
    assert metarl(training(whole, iterations=6, every=3), place / "whole.log").wait() == 0
    newest = whole / "checkpoints" / "00000006"
    files = sorted(path.name for path in newest.iterdir())
    amount = 40 if quick else 200
    for kind in ("truncated", "bit flipped"):
        for number in range(amount):
            run = place / "damaged"
            shutil.rmtree(run, ignore_errors=True)
            shutil.copytree(whole, run)
            path = run / "checkpoints" / "00000006" / files[number % len(files)]
            what = _damage(path, kind, rng)
            tally.count(kind)
            if tally.check(_refused(path.parent), f"{what}: loaded as if it were whole") and number % 10 == 0:
                _resume(tally, whole, run, place / "resume.log", what)
    return tally


def _damage(path: Path, kind: str, rng: Random) -> str:
    data = bytearray(path.read_bytes())
    if kind == "truncated":
        length = rng.randrange(len(data))
        path.write_bytes(data[:length])
        return f"{path.name} cut to {length} of {len(data)} bytes"
    place, bit = rng.randrange(len(data)), rng.randrange(8)
    data[place] ^= 1 << bit
    path.write_bytes(data)
    return f"{path.name} with bit {bit} of byte {place} flipped"


def _refused(folder: Path) -> bool:
    try:
        load_checkpoint(folder)
    except RunError:
        return True
    return False


def _resume(tally: Tally, whole: Path, run: Path, log: Path, what: str) -> None:
    process = metarl(["resume", str(run)], log)
    code, said = process.wait(), process.said
    tally.count("resumed by command")
    tally.check(code == 0, f"{what}: resume ended with {code}: {said[-300:]}")
    one_warning = said.startswith("metarl: warning: ") and len(said.splitlines()) == 1 and "using 00000003" in said
    tally.check(one_warning, f"{what}: expected one line of warning; it said {said!r}")
    found = difference(whole, run)
    tally.check(found is None, f"{what}: {found}")

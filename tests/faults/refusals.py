"""An error returned by any call of a save, and a limit to files that any file of a run may be the first to meet."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import torch

from metarl.core.errors import RunError
from metarl.core.params import State
from metarl.runs.checkpoint import load_checkpoint, load_newest, save_checkpoint
from metarl.runs.manifest import list_checkpoints
from tests.faults.crashes import FACTS, Crashing
from tests.faults.processes import difference, forked, metarl
from tests.faults.report import Tally
from tests.faults.tiny import training

NOT_REACHED, REFUSED = 76, 77
LOG_BYTES = 2048
"""What a process may say under a limit: its log is a file as well."""


def campaign(place: Path, quick: bool, rng: Random) -> Tally:
    """The save protocol against an error at each of its calls; trainings from their first iteration under a limit."""
    tally = Tally("an error at any call, any file limited: no false 'saved'")
    for number in (errno.ENOSPC,) if quick else (errno.ENOSPC, errno.EIO, errno.EROFS):
        for lasting in (False, True):
            _failing_calls(tally, place, number, lasting)
    _limited_files(tally, place, 3 if quick else 30, rng)
    return tally


class Failing(Crashing):
    """Makes one call fail, or that one and all after it, where the process would have ended."""

    def __init__(self, at: int, number: int, lasting: bool) -> None:
        super().__init__(at, lasting)
        self.number = number

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            if self.calls == self.at or (self.after and self.calls > self.at):
                raise OSError(self.number, os.strerror(self.number))
            return call(*arguments, **options)

        return counted


def _state(mark: int) -> State:
    return {"theta": {"weight": torch.full((4, 3), float(mark))}}


def _failing_calls(tally: Tally, place: Path, number: int, lasting: bool) -> None:
    for at in range(1, 200):
        where = f"{errno.errorcode[number]} at call {at}{' and after' if lasting else ''}"
        run = place / where.replace(" ", "-")
        save_checkpoint(run, 1, _state(1), FACTS)

        def work(run: Path = run, at: int = at) -> int:
            failing = Failing(at, number, lasting)
            failing.install()
            try:
                save_checkpoint(run, 2, _state(2), FACTS)
            except RunError:
                return REFUSED
            return NOT_REACHED if failing.calls < at else 0

        process = forked(work, run.with_suffix(".log"))
        code = process.wait()
        if code == NOT_REACHED:
            return
        tally.count("calls that failed")
        tally.check(code in (0, REFUSED), f"{where}: ended with {code}: {process.said[-300:]}")
        tally.check(code != 0 or _holds(run, 2), f"{where}: a false 'saved'")
        tally.check(_holds(run, 1), f"{where}: the previous checkpoint is damaged")
        save_checkpoint(run, 2, _state(2), FACTS)
        newest = load_newest(run)
        tally.check(newest is not None and newest[1]["iteration"] == 2, f"{where}: cannot be saved afterwards")


def _holds(run: Path, mark: int) -> bool:
    try:
        state, _ = load_checkpoint(run / "checkpoints" / f"{mark:08d}")
    except RunError:
        return False
    return torch.equal(state["theta"]["weight"], _state(mark)["theta"]["weight"])


def _limited_files(tally: Tally, place: Path, amount: int, rng: Random) -> None:
    """The networks being tiny, the largest files are those of metrics and events."""
    whole, log = place / "whole", place / "log"
    assert metarl(training(whole, iterations=12), log).wait() == 0
    largest = max(path.stat().st_size for path in whole.rglob("*") if path.is_file())
    for number in range(amount):
        limit, run = rng.randrange(LOG_BYTES, largest), place / f"limited-{number}"
        where = f"files of at most {limit} bytes"

        def before(limit: int = limit) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        process = metarl(training(run, iterations=12), log, before)
        code, said = process.wait(), process.said
        tally.count("limited files")
        one_line = said.startswith("metarl: error: ") and len(said.splitlines()) == 1
        tally.check(code == 2 and one_line, f"{where}: ended with {code}: {said[-400:]!r}")
        tally.check("saved " not in log.with_suffix(".out").read_text(), f"{where}: a false 'saved'")
        tally.check(_all_load(run), f"{where}: a checkpoint is damaged")
        line = ["resume", str(run)] if (run / "config.toml").exists() else training(run, iterations=12)
        process = metarl(line, log)
        if tally.check(process.wait() == 0, f"{where}, then room: {process.said[-300:]}"):
            tally.check(difference(whole, run) is None, f"{where}, then room: {difference(whole, run)}")


def _all_load(run: Path) -> bool:
    try:
        for folder in list_checkpoints(run).values():
            load_checkpoint(folder)
    except RunError:
        return False
    return True

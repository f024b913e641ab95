"""SIGINT and SIGTERM at random moments, a second one, and processes that are left behind."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from random import Random

from tests.faults.processes import Process, difference, metarl
from tests.faults.report import Tally
from tests.faults.tiny import training

LONGEST = 5.0
"""Seconds from a signal to the end where an iteration takes less."""
SLOW = ["train", "maml", "--family", "tests.faults.families:FAULTY", "--meta-batch-size", "1", "--episodes", "2",
        "--workers", "2", "--validation-tasks", "0", "--iterations", "9", "--run-dir"]  # fmt: skip


def campaign(place: Path, quick: bool, rng: Random) -> Tally:
    """Each run that was stopped is resumed and compared with one that never was."""
    tally = Tally("SIGINT or SIGTERM: saved, stopped in 5 s, exactly resumed")
    whole = place / "whole"
    started = time.monotonic()
    assert metarl(training(whole), place / "whole.log").wait() == 0
    seconds = time.monotonic() - started
    stops, attempt = 0, 0
    while stops < (10 if quick else 50):
        run, log = place / f"stopped-{attempt}", place / f"stopped-{attempt}.log"
        attempt += 1
        number_of_signal = rng.choice([signal.SIGINT, signal.SIGTERM])
        process = metarl(training(run), log)
        stops += _stop(tally, process, run, number_of_signal, rng.uniform(0.02, 0.9 * seconds))
        again = metarl(["resume", str(run)] if (run / "config.toml").exists() else training(run), log)
        if tally.check(again.wait() == 0, f"{run.name}: resume ended with {again.status}: {again.said[-300:]}"):
            found = difference(whole, run)
            tally.check(found is None, f"{run.name}: {found}")
    for name, scene in {"second Ctrl-C": _second, "parent killed": _orphans, "whole group": _group}.items():
        scene(tally, place / name.replace(" ", "-"))
        tally.count(name)
    return tally


def _stop(tally: Tally, process: Process, run: Path, number: signal.Signals, delay: float) -> bool:
    """Whether the signal met a process that was running."""
    moment = time.monotonic() + delay
    while process.running() and time.monotonic() < moment:
        time.sleep(0.001)
    if not process.running():
        tally.count("ended before the signal")
        return False
    sent = time.monotonic()
    process.kill(number)
    code = process.wait(30.0)
    took = time.monotonic() - sent
    tally.most("longest stop in seconds", took)
    tally.count(number.name)
    finished = code == 0 and (run / "checkpoints" / "00000030").exists()
    said = process.said
    tally.check(code == 128 + number or finished, f"{number.name} after {delay:.2f} s: exit code {code}: {said[-300:]}")
    tally.check(took < max(LONGEST, _iteration(run)), f"{number.name}: took {took:.1f} s")
    saved = "saved" in said.replace("unsaved", "")
    iterations = len((run / "metrics.jsonl").read_text().splitlines()) if (run / "metrics.jsonl").exists() else 0
    if iterations and not finished:
        there = (run / "checkpoints" / f"{iterations:08d}").exists()
        tally.check(there and (saved or "stopped" in said), f"{number.name}: {iterations} iterations, {said!r}")
    return True


def _iteration(run: Path) -> float:
    """Seconds of the longest iteration of a run, the checkpoint after it included."""
    path = run / "metrics.jsonl"
    ends = [json.loads(line)["wall_seconds"] for line in path.read_text().splitlines()] if path.exists() else []
    return max((later - earlier for earlier, later in pairwise(ends)), default=0.0)


def _second(tally: Tally, run: Path) -> None:
    """The second signal does not wait for the iteration."""
    process = _slow(run)
    process.kill(signal.SIGINT)
    time.sleep(0.5)
    tally.check(process.running(), f"the first signal ended it at once: {process.said}")
    sent = time.monotonic()
    process.kill(signal.SIGINT)
    code = process.wait(10.0)
    tally.check(code == -signal.SIGINT and time.monotonic() - sent < 1.0, f"second Ctrl-C: exit code {code}")
    tally.check(_none_left(process.pid), "second Ctrl-C: workers are left")


def _orphans(tally: Tally, run: Path) -> None:
    process = _slow(run)
    process.kill(signal.SIGKILL)
    process.wait()
    tally.check(_none_left(process.pid), "killed: workers are left")


def _group(tally: Tally, run: Path) -> None:
    """A terminal and a scheduler signal every process of a job."""
    process = _slow(run, seconds="0.3")
    os.killpg(process.pid, signal.SIGTERM)
    code = process.wait(30.0)
    tally.check(code == 143 and "saved" in process.said, f"SIGTERM to the group: {code}: {process.said[-300:]}")
    tally.check("warning" not in process.said, f"SIGTERM to the group: {process.said[-300:]}")
    tally.check(_none_left(process.pid), "SIGTERM to the group: workers are left")


def _slow(run: Path, seconds: str = "60") -> Process:
    """A training in its first iteration, whose workers sleep for `seconds` at each step."""

    def before() -> None:
        os.setsid()
        os.environ["STEP_SECONDS"] = seconds

    process = metarl([*SLOW, str(run)], run.with_suffix(".log"), before)
    _await(lambda: len(_session(process.pid)) == 3, 60.0)
    time.sleep(2.0)  # the workers build their environments
    return process


def _none_left(session: int) -> bool:
    return _await(lambda: not _session(session), 5.0)


def _await(holds: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _session(leader: int) -> list[int]:
    """Processes of a session that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session = path.read_text().rpartition(")")[2].split()[:4]
        except (OSError, ValueError):
            continue
        if session == str(leader) and state != "Z":
            found.append(int(path.parent.name))
    return found

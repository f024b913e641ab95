"""Environments that fail, in this process, in workers and as tensors, while training and while evaluating."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

from tests.faults.families import FAULTS
from tests.faults.processes import difference, metarl
from tests.faults.report import Tally

HARMLESS = ("none", "endless", "ends-at-once", "out-of-bounds")
"""What the horizon, a reset or nobody has to do with: a training goes on."""
OF_A_PROCESS = ("killed", "exits", "hangs")
"""What ends or stops the process that steps the environment: only a worker survives that."""
NOT_OF_TENSORS = ("observation-text", "reward-text", "four-values", "info-none", *OF_A_PROCESS)
FIELDS = {
    "observation": "observation",
    "reward": "reward",
    "terminated": "terminat",
    "four-values": "step raised",
    "info": "info",
    "raises": "the motor is on fire",
    "reset-raises": "no power",
    "space-changes": "observation",
    "killed": "signal 9",
    "exits": "exit code 7",
    "hangs": "did not answer",
}
TINY = ["--meta-batch-size", "2", "--episodes", "2", "--policy.hidden-sizes", "4", "--validation-tasks", "0"]
MODES = {
    "synchronous": ("tests.faults.families:FAULTY", "0"),
    "workers": ("tests.faults.families:FAULTY", "2"),
    "tensors": ("tests.faults.families:FORMULA", "0"),
}
RETRIED = ("raises", "killed", "hangs")


def campaign(place: Path, quick: bool, rng: Random) -> Tally:
    """One line that names family, task, lane, step and field, and exit code 2; the last checkpoint stays."""
    tally = Tally("a failing environment is named: task, lane, step, field")
    for mode, (family, workers) in MODES.items():
        whole = place / f"whole-{mode}"
        line = ["train", "maml", "--family", family, *TINY, "--workers", workers, "--iterations", "2",
                "--worker-retries", "0", "--worker-timeout", "2"]  # fmt: skip
        assert metarl([*line, "--run-dir", str(whole)], place / "whole.log").wait() == 0
        faults = [fault for fault in FAULTS if fault not in _impossible(mode)]
        if quick and mode == "workers":
            faults = ["observation-shape", "raises-unpicklable", "killed", "hangs"]
        for fault in faults:
            _train(tally, [*line, "--run-dir"], place / f"{mode}-{fault}", mode, fault)
            if not quick or fault in ("reward-nan", "raises"):
                _evaluate(tally, whole, place / f"{mode}-{fault}-evaluated", mode, fault)
    for fault in RETRIED[1:2] if quick else RETRIED:
        _retry(tally, place, fault)
    return tally


def _impossible(mode: str) -> tuple[str, ...]:
    return {"synchronous": OF_A_PROCESS, "workers": (), "tensors": NOT_OF_TENSORS}[mode]


def _expected(fault: str, mode: str) -> list[str]:
    """What the line must say; where all lanes are one tensor, only what is not finite has a lane."""
    field = next(word for start, word in FIELDS.items() if fault.startswith(start))
    if mode == "tensors" and not fault.endswith(("nan", "infinite")):
        return ["faulty-formula", "step", "NoneType" if fault == "terminated-none" else field]
    return ["task ", "episode", "reset" if fault == "reset-raises" else "step", field]


def _train(tally: Tally, line: list[str], run: Path, mode: str, fault: str) -> None:
    process = metarl([*line, str(run)], run.with_suffix(".log"), lambda: os.environ.update(FAULT=fault))
    code, said = process.wait(), process.said
    where = f"{mode}, train, {fault}"
    if fault in HARMLESS:
        tally.check((code, said) == (0, ""), f"{where}: {code}, {said[-300:]!r}")
        return
    missing = [word for word in ["iteration 1", *_expected(fault, mode)] if word not in said]
    one_line = len(said.splitlines()) == 1 and "Traceback" not in said
    tally.check(code == 2 and one_line and not missing, f"{where}: {code}, without {missing}: {said[-400:]!r}")


def _evaluate(tally: Tally, whole: Path, output: Path, mode: str, fault: str) -> None:
    line = ["evaluate", str(whole), "--tasks", "2", "--episodes", "2", "--steps", "1"]
    process = metarl(line, output, lambda: os.environ.update(FAULT=fault))
    code, said = process.wait(), process.said
    where = f"{mode}, evaluate, {fault}"
    if fault in HARMLESS:
        tally.check((code, said) == (0, ""), f"{where}: {code}, {said[-300:]!r}")
        return
    missing = [word for word in _expected(fault, mode) if word not in said]
    one_line = len(said.splitlines()) == 1 and "Traceback" not in said
    tally.check(code == 2 and one_line and not missing, f"{where}: {code}, without {missing}: {said[-400:]!r}")


def _retry(tally: Tally, place: Path, fault: str) -> None:
    """A worker that fails once is replaced: run and evaluation are bitwise those in which none failed."""
    run = place / f"retried-{fault}"
    line = ["train", "maml", "--family", MODES["workers"][0], *TINY, "--iterations", "2", "--workers", "2"]
    if _once(tally, fault, [*line, "--worker-timeout", "2", "--run-dir", str(run)], run.with_suffix(".log")):
        found = difference(place / "whole-synchronous", run)
        tally.check(found is None, f"{fault} once: {found}")
        evaluate = ["evaluate", str(run), "--tasks", "2", "--episodes", "2", "--steps", "1", "--json"]
        once, never = (place / f"{fault}-{name}.json" for name in ("once", "never"))
        assert metarl([*evaluate, str(never)], place / "never.log").wait() == 0
        if _once(tally, fault, [*evaluate, str(once)], place / f"{fault}-once.log"):
            tally.check(once.read_text() == never.read_text(), f"{fault} once, evaluate: another result")


def _once(tally: Tally, fault: str, line: list[str], log: Path) -> bool:
    mark = log.with_suffix(".mark")
    process = metarl(line, log, lambda: os.environ.update(FAULT=fault, FAULT_ONCE=str(mark)))
    code, said = process.wait(), process.said
    kept = code == 0 and mark.exists() and "tried again with new workers" in said
    return tally.check(kept, f"{line[0]}, {fault} once: {code}, {said[-300:]!r}")

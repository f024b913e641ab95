"""Trainings in processes that may be killed: forked from one that has everything imported, or started afresh."""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TIMEOUT = 120.0
"""Seconds after which a process counts as hung."""


@dataclass
class Process:
    """A forked process and the files that it writes its output to."""

    pid: int
    output: Path
    status: int | None = None
    most_memory: int = 0
    """Largest resident set in MiB."""
    processor_seconds: float = 0.0
    """Which a busy machine does not stretch."""

    def running(self) -> bool:
        if self.status is None:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self._ended(status, usage)
        return self.status is None

    def wait(self, timeout: float = TIMEOUT) -> int:
        """Exit code, or minus the signal; a process that does not end is killed and counts as -9."""
        deadline = time.monotonic() + timeout
        while self.running():
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
                _, status, usage = os.wait4(self.pid, 0)
                self._ended(status, usage)
                break
            time.sleep(0.002)
        assert self.status is not None
        return self.status

    def _ended(self, status: int, usage: resource.struct_rusage) -> None:
        self.status, self.most_memory = os.waitstatus_to_exitcode(status), usage.ru_maxrss // 1024
        self.processor_seconds = usage.ru_utime + usage.ru_stime

    def kill(self, number: int = signal.SIGKILL) -> None:
        with contextlib.suppress(ProcessLookupError):
            if self.running():
                os.kill(self.pid, number)

    @property
    def said(self) -> str:
        """Standard error so far."""
        return self.output.with_suffix(".err").read_text(errors="replace")


def forked(work: Callable[[], int], output: Path) -> Process:
    """Run a function in a copy of this process; what it returns is the exit code, an exception a traceback and 1."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return Process(pid, output)
    code = 1
    try:
        for number, suffix in ((1, ".out"), (2, ".err")):
            file = os.open(output.with_suffix(suffix), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            os.dup2(file, number)
            os.close(file)
        sys.stdout, sys.stderr = os.fdopen(1, "w", 1), os.fdopen(2, "w", 1)
        code = work()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        os._exit(code)


def metarl(line: list[str], output: Path, before: Callable[[], object] = lambda: None) -> Process:
    """The command line in a forked process, `before` having been called in it."""
    from metarl.cli import main

    def work() -> int:
        before()
        return main(line)

    return forked(work, output)


def little_memory() -> None:
    """Let this process have 600 MiB more than it has, so that what runs out of hand harms nobody else."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + (600 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def warm() -> None:
    """Train and evaluate once in this process, so that forked ones find loaded whatever is loaded late."""
    from metarl.cli import main
    from tests.faults.tiny import NAVIGATION, training

    with tempfile.TemporaryDirectory() as place, contextlib.redirect_stdout(io.StringIO()):
        for algorithm in ("maml", "maml-trpo"):
            run = Path(place) / algorithm
            assert main(training(run, algorithm=algorithm, family=NAVIGATION, iterations=1)) == 0
            assert main(["evaluate", str(run), "--tasks", "2", "--episodes", "2"]) == 0
        assert main(["resume", str(run)]) == 0


def lines_of(run: Path) -> list[Any]:
    """A run's metrics but for times, as they lie in the file; a line that cannot be read is None."""
    records: list[Any] = []
    for line in (run / "metrics.jsonl").read_text().splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            records.append(None)
            continue
        records.append({name: value for name, value in record.items() if name not in ("wall_seconds", "seconds")})
    return records


def newest(run: Path) -> Path | None:
    found = sorted((run / "checkpoints").glob("[0-9]*"))
    return found[-1] if found else None


def difference(one: Path, other: Path) -> str | None:
    """How two finished runs differ: tensors files byte by byte, metrics line by line; None if they do not."""
    left, right = newest(one), newest(other)
    if left is None or right is None or left.name != right.name:
        return f"newest checkpoints are {left} and {right}"
    files = {path.name for folder in (left, right) for path in folder.glob("*.safetensors")}
    for name in sorted(files):
        if not (left / name).exists() or (left / name).read_bytes() != (right / name).read_bytes():
            return f"{name} differs"
    ours, theirs = lines_of(one), lines_of(other)
    if ours != theirs:
        where = next((i for i, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]), None)
        return f"metrics differ: {len(ours)} and {len(theirs)} lines, first at {where}"
    return None

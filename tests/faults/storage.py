"""A full disk, a directory that cannot be written to, and a limit on the size of files."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from tests.faults.processes import Process, difference, metarl
from tests.faults.report import Tally
from tests.faults.tiny import SIZE, training

BIG = ["--policy.hidden-sizes", "128", "128"]


def campaign(place: Path, quick: bool, rng: Random) -> Tally:
    """Exit code 2 and one line; the checkpoints that were there are as they were; with room again, exactly on."""
    tally = Tally("no room, read-only, size limit: said so, nothing lost")
    whole, begun, log = place / "whole", place / "begun", place / "log"
    place.chmod(0o755)
    assert metarl([*training(whole, iterations=8, every=2), *BIG], log).wait() == 0
    assert metarl([*training(begun, iterations=8, every=2), *BIG], log, _stopped_early).wait() == 0
    for limit in (1 << 10, 16 << 10, 100 << 10) if quick else [1 << n for n in range(8, 19)]:
        _fails(tally, log, whole, _copy(begun, place), f"files of at most {limit} bytes", lambda n=limit: _limit(n))  # type: ignore[misc]
    with _small_disk(tally, place / "disk") as disk:
        if disk is not None:
            for room in (0, 20 << 10, 150 << 10) if quick else [n << 10 for n in range(0, 300, 30)]:
                run = _copy(begun, disk)
                _fill(disk, room)
                _fails(tally, log, whole, run, f"a disk with {room} bytes left", lambda: None, disk)
    with _read_only(tally, begun, place / "sealed") as sealed:
        if sealed is not None:
            _fails(tally, log, None, sealed, "a read-only directory", lambda: None)
            process = metarl([*training(sealed / "new"), *SIZE], log)
            tally.check(process.wait() == 2 and len(process.said.splitlines()) == 1, f"new, read-only: {process.said}")
    run = _copy(begun, place)
    _fails(tally, log, None, run, "another user's directory", _become_nobody)
    return tally


def _stopped_early() -> None:
    """Train in this process as if the configuration had four iterations; the file says eight."""
    import metarl.training.loop as training_module

    original = training_module.Training.run
    training_module.Training.run = lambda self, total, report: original(self, 4, report)  # type: ignore[method-assign]


def _copy(begun: Path, place: Path) -> Path:
    run = place / "run"
    shutil.rmtree(run, ignore_errors=True)
    for left in place.glob("filling"):
        left.unlink()
    shutil.copytree(begun, run)
    return run


def _fails(
    tally: Tally,
    log: Path,
    whole: Path | None,
    run: Path,
    what: str,
    before: Callable[[], object],
    disk: Path | None = None,
) -> None:
    kept = _checkpoints(run)
    process: Process = metarl(["resume", str(run)], log, before)
    code, said, info = process.wait(), process.said, process.output.with_suffix(".out").read_text()
    after = _checkpoints(run)
    if disk is not None:
        (disk / "filling").unlink()
    if code == 0:
        tally.count("had room enough")
        tally.check((run / "checkpoints" / "00000008").exists(), f"{what}: success without a checkpoint: {info}")
    else:
        one_line = said.startswith("metarl: error: ") and len(said.splitlines()) == 1
        tally.check(code == 2 and one_line, f"{what}: exit code {code}: {said[-400:]!r}")
        tally.check("saved " not in info, f"{what}: said {info!r}")
        tally.count("failed as they should")
    tally.check(kept.items() <= after.items(), f"{what}: checkpoints changed")
    if whole is not None:
        again = metarl(["resume", str(run)], process.output)
        if tally.check(again.wait() == 0, f"{what}, then room: {again.status}: {again.said[-300:]}"):
            tally.check(difference(whole, run) is None, f"{what}, then room: {difference(whole, run)}")


def _checkpoints(run: Path) -> dict[str, bytes]:
    return {str(p.relative_to(run)): p.read_bytes() for p in (run / "checkpoints").rglob("*") if p.is_file()}


def _limit(size: int) -> None:
    # Standard output and error are files here, and small.
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def _become_nobody() -> None:
    os.setgid(65534)
    os.setuid(65534)


def _fill(disk: Path, room: int) -> None:
    free = shutil.disk_usage(disk).free
    with open(disk / "filling", "wb") as file:
        file.write(bytes(max(free - room, 0)))


def _mounted(tally: Tally, place: Path, *arguments: str) -> bool:
    place.mkdir()
    done = subprocess.run(["mount", *arguments, str(place)], capture_output=True, check=False)
    if done.returncode:
        tally.count("mounts that were not permitted")
    return done.returncode == 0


@contextmanager
def _small_disk(tally: Tally, place: Path) -> Iterator[Path | None]:
    if not _mounted(tally, place, "-t", "tmpfs", "-o", "size=2m", "tmpfs"):
        yield None
        return
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=False)


@contextmanager
def _read_only(tally: Tally, begun: Path, place: Path) -> Iterator[Path | None]:
    if not _mounted(tally, place, "--bind", str(begun)):
        yield None
        return
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(place)], check=True)
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=False)

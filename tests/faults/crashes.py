"""A crash after each call to the operating system that the save protocol makes, unsynced data being lost with it."""

from __future__ import annotations

import builtins
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import torch

from metarl.core.errors import RunError
from metarl.core.params import State
from metarl.runs.checkpoint import load_newest, prune, save_checkpoint, tidy
from tests.faults.processes import forked
from tests.faults.report import Tally

FACTS = {"environment_steps": 5, "wall_seconds": 1.0, "threads": 1}
CALLS = ("open", "close", "fsync", "mkdir", "rename", "replace", "rmdir", "unlink", "scandir")
CRASHED = 77


class Crashing:
    """Counts calls and ends the process at one of them, before it or after it.

    Ending a process loses nothing that it wrote: the kernel has it. A machine that loses power does, so what was
    written and not synced is cut in half first.
    """

    def __init__(self, at: int, after: bool) -> None:
        self.at, self.after, self.calls = at, after, 0
        self.unsynced: dict[str, int] = {}

    def install(self) -> None:
        for name in CALLS:
            setattr(os, name, self._counted(getattr(os, name)))
        opened = self._counted(builtins.open)

        def open_file(path: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
            file = opened(path, mode, *arguments, **options)
            if "w" not in mode:
                return file
            self.unsynced[str(path)] = file.fileno()
            file.write = self._counted(file.write)
            return file

        builtins.open = open_file  # type: ignore[assignment]

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            own = self.calls
            if own == self.at and not self.after:
                self._crash()
            try:
                result = call(*arguments, **options)
                if call.__name__ == "fsync":
                    self.unsynced = {path: number for path, number in self.unsynced.items() if number != arguments[0]}
                return result
            finally:
                if own == self.at:
                    self._crash()

        return counted

    def _crash(self) -> None:
        for path in self.unsynced:
            if os.path.exists(path):
                os.truncate(path, os.path.getsize(path) // 2)
        os._exit(CRASHED)


def _state(mark: float) -> State:
    params = {"weight": torch.full((4, 3), mark), "bias": torch.zeros(3)}
    return {"theta": params, "optimiser": {f"first.{name}": value for name, value in params.items()}}


def _first(run: Path) -> None:
    save_checkpoint(run, 1, _state(1.0), FACTS)


def _second_damaged(run: Path) -> None:
    _first(run)
    (save_checkpoint(run, 2, _state(-1.0), FACTS) / "theta.safetensors").write_bytes(b"")


def _second_there(run: Path) -> None:
    _first(run)
    save_checkpoint(run, 2, _state(2.0), FACTS)


def _only_second(run: Path) -> None:
    save_checkpoint(run, 2, _state(2.0), FACTS)


def _save(run: Path) -> None:
    save_checkpoint(run, 2, _state(2.0), FACTS)


def _save_and_prune(run: Path) -> None:
    _save(run)
    prune(run, 1, 2)


SCENES: dict[str, tuple[Callable[[Path], None], Callable[[Path], None]]] = {
    "the next one": (_first, _save),
    "over a damaged one": (_second_damaged, _save),
    "over one that is whole": (_second_there, _save),
    "over the only one": (_only_second, _save),
    "and pruning": (_first, _save_and_prune),
}
QUICK = ("the next one", "over the only one")


def campaign(place: Path, quick: bool, rng: Random) -> Tally:
    """Every call of every scene, before and after; then whether a checkpoint loads and holds what it says."""
    tally = Tally("a crash at any call of a save: a checkpoint remains")
    for name in QUICK if quick else SCENES:
        prepare, save = SCENES[name]
        moments = [(at, after) for at in range(1, 200) for after in (False, True)]
        for at, after in moments:
            run = place / f"{name.replace(' ', '-')}-{at}-{after}"
            prepare(run)

            def work(run: Path = run, at: int = at, after: bool = after, save: Callable[[Path], None] = save) -> int:
                Crashing(at, after).install()
                save(run)
                return 0

            process = forked(work, run.with_suffix(".log"))
            if process.wait() != CRASHED:
                tally.check(process.status == 0, f"saving {name}: {process.said[-300:]}")
                break
            tally.count(f"crashes saving {name}")
            where = f"saving {name}, {'after' if after else 'before'} call {at}"
            tally.check(_loads(run), f"{where}: no checkpoint loads")
    return tally


def _loads(run: Path) -> bool:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tidy(run)
            loaded = load_newest(run)
        except RunError:
            return False
    if loaded is None:
        return False
    state, manifest = loaded
    return all(torch.equal(state["theta"][k], v) for k, v in _state(float(manifest["iteration"]))["theta"].items())

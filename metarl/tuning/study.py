"""A study on disk: Optuna's trials in a journal of JSON lines, and who works on which trial."""

from __future__ import annotations

import fcntl
import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from metarl.core.errors import RunError
from metarl.core.prng import Key
from metarl.runs.directory import RunLock
from metarl.runs.durable import replace_file, writing
from metarl.tuning.space import Choices, Range, Space

FACTS = "study.json"
JOURNAL = "journal.log"
NAME = "metarl"

STARTUP = 10
"""Trials that are drawn at random before TPE has enough to go by."""
BEFORE_PRUNING = 5
"""Trials that end before others are compared with their median."""
MOST_STARTS = 3
"""Times that a trial is started whose process dies without a word; then it counts as failed."""


class Study:
    """The study in a directory, which processes may work on at the same time.

    Args:
        place: The directory.
        space: What is searched.
        seed: Seed of the search.
        sampler: "tpe", "random" or "grid".
        prune: Whether trials below the median of the others end early.
    """

    def __init__(self, place: Path, space: Space, seed: int = 1, sampler: str = "tpe", prune: bool = True) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.place, self.space = place, space
        _drop_torn_line(place)
        storage = JournalStorage(JournalFileBackend(str(place / JOURNAL), lock_obj=_Lock(place / ".journal")))  # type: ignore[arg-type]
        pruner: BasePruner = MedianPruner(n_startup_trials=BEFORE_PRUNING) if prune else NopPruner()
        with locked(place / ".claims"):
            self.optuna = optuna.create_study(
                study_name=NAME, storage=storage, direction="maximize", load_if_exists=True, pruner=pruner,
                sampler=ByPosition(seed, sampler),
            )  # fmt: skip

    def enqueue(self, values: dict[str, Any]) -> None:
        """Have a trial with these values first, unless there is one already."""
        texts = {name: _to_optuna(self.space[name], value) for name, value in values.items()}
        with locked(self.place / ".claims"):
            self.optuna.enqueue_trial(texts, skip_if_exists=True)

    def enqueue_grid(self) -> None:
        """Have a trial for every combination of the values."""
        names = list(self.space)
        for values in itertools.product(*(_listed(self.space[name]) for name in names)):
            self.enqueue(dict(zip(names, values, strict=True)))

    @property
    def trials(self) -> list[FrozenTrial]:
        """All trials that were begun, in their order."""
        return [trial for trial in self.optuna.get_trials(deepcopy=False) if trial.state != TrialState.WAITING]

    def values_of(self, trial: FrozenTrial | Trial) -> dict[str, Any]:
        """The values of the searched options in a trial."""
        return {name: _from_optuna(self.space[name], value) for name, value in trial.params.items()}

    def folder(self, number: int) -> Path:
        """Folder of a trial's runs."""
        return self.place / "trials" / f"{number:04d}"

    def claim(self, most: int) -> Claim | None:
        """Take up the first trial that nobody works on any more, or begin another one; None if there are enough.

        Args:
            most: Trials of the study.
        """
        with locked(self.place / ".claims"):
            begun = self.trials
            for frozen in begun:
                lock = self._lock_of(frozen.number) if frozen.state == TrialState.RUNNING else None
                if lock is None:
                    continue
                trial = Trial(self.optuna, frozen._trial_id)  # Optuna has no public name for it
                if trial.user_attrs.get("starts", 0) >= MOST_STARTS:
                    trial.set_user_attr("error", f"its process died {MOST_STARTS} times")
                    self.optuna.tell(trial, state=TrialState.FAIL)
                    lock.release()
                    continue
                return self._claimed(trial, lock)
            if len(begun) >= most:
                return None
            trial = self.optuna.ask()
            lock = self._lock_of(trial.number)
            if lock is None:
                raise RunError(f"{self.folder(trial.number)}: in use by another process")
            return self._claimed(trial, lock)

    def _claimed(self, trial: Trial, lock: RunLock) -> Claim:
        for name, entry in self.space.items():
            _suggest(trial, name, entry)
        reported = self.optuna.get_trials(deepcopy=False)[trial.number].intermediate_values
        trial.set_user_attr("starts", trial.user_attrs.get("starts", 0) + 1)
        return Claim(trial, self.values_of(trial), dict(reported), self.folder(trial.number), lock)

    def _lock_of(self, number: int) -> RunLock | None:
        """The lock of a trial; None if a process holds it."""
        folder = self.folder(number)
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        try:
            return RunLock(folder)
        except RunError:
            return None


@dataclass(frozen=True)
class Claim:
    """A trial that this process works on."""

    trial: Trial
    values: dict[str, Any]
    """Values of the searched options."""
    reported: dict[int, float]
    """Scores that are known already, by iteration."""
    folder: Path
    lock: RunLock

    def put_back(self) -> None:
        """Leave the trial to whoever goes on with the study."""
        self.trial.set_user_attr("starts", self.trial.user_attrs["starts"] - 1)


class ByPosition(BaseSampler):
    """A sampler whose random numbers are a function of the seed and the number of the trial.

    A study that goes on after a kill draws what it would have drawn without it. With several processes a draw also
    depends on which trials have ended by then.

    Args:
        seed: Seed of the search.
        kind: "tpe" for the tree-structured Parzen estimator (Bergstra et al. 2011), otherwise random values.
    """

    def __init__(self, seed: int, kind: str = "tpe") -> None:
        self._root, self._tpe = Key.from_seed(seed).at("tuning"), kind == "tpe"
        self._number = -1
        self._sampler: BaseSampler = RandomSampler()

    def _of(self, trial: FrozenTrial) -> BaseSampler:
        if trial.number != self._number:
            seed = int(self._root.at(trial.number).generator().integers(2**31))
            drawn = TPESampler(seed=seed, n_startup_trials=STARTUP) if self._tpe else RandomSampler(seed=seed)
            self._number, self._sampler = trial.number, drawn
        return self._sampler

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """As the sampler of the trial."""
        return self._of(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As the sampler of the trial."""
        return self._of(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """As the sampler of the trial."""
        return self._of(trial).sample_independent(study, trial, param_name, param_distribution)


def write_facts(place: Path, facts: dict[str, Any]) -> bool:
    """Begin a study, or check that the one in a directory is about the same; returns whether it is new.

    Args:
        place: The directory.
        facts: JSON values by name, which fix what a trial is.

    Raises:
        RunError: The directory holds another study or other files, or cannot be written.
    """
    path = place / FACTS
    if path.is_file():
        try:
            there = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            raise RunError(f"{path}: damaged: not valid JSON") from None
        here = json.loads(json.dumps(facts))
        for name in sorted(there.keys() | here.keys()) if isinstance(there, dict) else ["format"]:
            if not isinstance(there, dict) or there.get(name) != here.get(name):
                then = there.get(name) if isinstance(there, dict) else there
                different = f"its {name} is {then!r:.80} there and {here.get(name)!r:.80} here"
                raise RunError(f"{place}: not resumed: {different}; choose another --study-dir")
        return False
    if place.exists() and (not place.is_dir() or any(not path.name.startswith(".") for path in place.iterdir())):
        raise RunError(f"{place}: exists and is not an empty directory; choose another --study-dir")
    with writing(place):
        place.mkdir(parents=True, exist_ok=True)
        replace_file(path, json.dumps(facts, indent=1) + "\n")
    return True


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file's lock inside the block, after waiting for it; the kernel releases that of a process that died."""
    lock = _Lock(path)
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


class _Lock:
    """A lock as Optuna's journal takes it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    def acquire(self) -> bool:
        with writing(self._path):
            self._file = open(self._path, "ab")  # noqa: SIM115 (held until `release`)
            fcntl.flock(self._file, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        assert self._file is not None
        self._file.close()


def _drop_torn_line(place: Path) -> None:
    """Cut the journal back to its last whole line: a process that died while it wrote leaves a part of one."""
    path = place / JOURNAL
    with locked(place / ".journal"), writing(path):
        if not path.exists():
            return
        with open(path, "rb+") as file:
            data = file.read()
            if data and not data.endswith(b"\n"):
                file.truncate(data.rfind(b"\n") + 1)


def _listed(entry: Range | Choices) -> tuple[Any, ...]:
    """The values of a list."""
    assert isinstance(entry, Choices)
    return entry.values


def _suggest(trial: Trial, name: str, entry: Range | Choices) -> None:
    """Have Optuna draw an option's value, which `trial.params` then holds."""
    if isinstance(entry, Choices):
        trial.suggest_categorical(name, entry.texts)
    elif entry.whole:
        trial.suggest_int(name, int(entry.low), int(entry.high), log=entry.log)
    else:
        trial.suggest_float(name, entry.low, entry.high, log=entry.log)


def _to_optuna(entry: Range | Choices, value: Any) -> Any:
    """Optuna stores lists of numbers and of sizes alike as text."""
    return entry.texts[entry.values.index(value)] if isinstance(entry, Choices) else value


def _from_optuna(entry: Range | Choices, value: Any) -> Any:
    return entry.values[entry.texts.index(value)] if isinstance(entry, Choices) else value

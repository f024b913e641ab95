"""Hyper-parameter search: trials on meta-validation tasks until there are enough, in one process or in several."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from metarl.config.run import TrainConfig, option_name
from metarl.config.toml import flat_mapping
from metarl.config.validation import check_least, validate
from metarl.core.errors import ConfigError, Divergence, RunError, in_words
from metarl.core.launch import pin_threads, place_of_launch, thread_environment, threads_of_user, usable_cores
from metarl.families.registry import has_no_name, load_family
from metarl.runs.manifest import NUMERICS
from metarl.tuning.space import Choices, Space, values_of, with_values

SPLIT = "meta-validation"
TRIALS = 30
POLL_SECONDS = 0.2

Log = Callable[[str], None]


@dataclass(frozen=True)
class Search:
    """What a study is about; a study goes on only with the same."""

    algorithm: str
    """Name of the outer update, or `module:Class`."""
    config: TrainConfig
    """The options that are searched around; its seed is that of the search."""
    space: Space
    """What is searched."""
    seeds: tuple[int, ...] = (1000, 1001, 1002)
    """Training seeds of every trial."""
    sampler: Literal["tpe", "random", "grid"] = "tpe"
    """How trials are chosen."""
    prune: bool = True
    """Whether a trial ends early whose score at a checkpoint is below the median of the others there."""

    def check(self) -> None:
        """Raise ConfigError or FamilyError where no trial could be trained and scored."""
        validate(self.config)
        if not self.space:
            raise ConfigError(f"--search is missing; no space ships for {self.algorithm}")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ConfigError(f"--seeds = {' '.join(map(str, self.seeds))}; expected at least one, and each once")
        for seed in self.seeds:
            validate(replace(self.config, seed=seed))
        check_least(("validation-tasks", self.config.validation_tasks, 1))
        for name, entry in self.space.items():
            if self.sampler == "grid" and not isinstance(entry, Choices):
                raise ConfigError(f"--search {name} = {entry}; expected a list of values for --sampler grid")
        family = load_family(self.config.family, self.config.variant)
        names = family.splits.names
        family.close()
        if SPLIT not in names:
            expected = f"one with {SPLIT} tasks; it has {', '.join(names)}"
            raise ConfigError(f"--family = {self.config.family}; expected {expected}")

    def size(self) -> int | None:
        """Number of combinations of a grid; None for other samplers."""
        if self.sampler != "grid":
            return None
        size = 1
        for entry in self.space.values():
            assert isinstance(entry, Choices)
            size *= len(entry.values)
        return size

    def facts(self) -> dict[str, Any]:
        """What fixes the trials, as JSON."""
        entries = {f"range of {name}": str(entry) for name, entry in self.space.items()}
        options = {name: value for name, value in flat_mapping(self.config).items() if name not in self.space}
        about = {"algorithm": self.algorithm, "sampler": self.sampler, "prune": self.prune, "seeds": list(self.seeds)}
        return {**about, **entries, **options, "numerics": NUMERICS}


@dataclass(frozen=True)
class Found:
    """What a search found."""

    result: dict[str, Any]
    """Best trial, counts, and a row for each trial, as in table.json."""
    signal: int | None = None
    """The signal that stopped it; None if it has all its trials."""


def check_installed() -> None:
    """Raise ConfigError if Optuna is missing."""
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"tune: {error.name} is not installed; pip install 'metarl-toolkit[tune]'") from None


def run_search(
    about: Search,
    place: Path,
    *,
    trials: int | None = None,
    workers: int = 1,
    threads: int | None = None,
    log: Log = lambda line: None,
    preset: Path | None = None,
    table: Path | None = None,
) -> Found:
    """Go on with the study in a directory until it has enough trials, or begin it.

    Trials train on meta-training tasks and are scored on meta-validation tasks. No other task is drawn.

    Args:
        about: What the study is about.
        place: The directory.
        trials: Trials in total (default: `TRIALS`, or all of a grid).
        workers: Processes that work on trials.
        threads: Threads of torch in each process (default: the usable cores divided by `workers`).
        log: Called with a line for each trial that ended.
        preset: File for the best options (default: `preset.toml` in the directory).
        table: File for the result (default: `table.json` in the directory).

    Raises:
        ConfigError, FamilyError: No trial could be trained and scored, or Optuna is missing.
        RunError: The directory holds another study, a file cannot be written, or every trial failed.
    """
    check_installed()
    check_least(("trials", trials, 1), ("workers", workers, 1))
    if place_of_launch()[1] > 1:
        raise ConfigError("torchrun: expected one process; --workers divides the trials among several")
    if workers > 1 and has_no_name(about.config.family):
        raise ConfigError(f"--workers = {workers}; expected 1: the family has no name that another process finds")
    about.check()
    if threads is not None or workers == 1:
        pin_threads(threads)
    from metarl.tuning.result import PRESET, TABLE, results, write_results
    from metarl.tuning.study import Study, write_facts

    write_facts(place, about.facts())
    study = Study(place, about.space, about.config.seed, about.sampler, about.prune)
    start = values_of(about.config, about.space)
    if about.sampler == "grid":
        study.enqueue_grid()
    elif start is not None:
        study.enqueue(start)
    most = min(trials or about.size() or TRIALS, about.size() or trials or TRIALS)
    done = Announced(study, log)
    signal = work(about, study, most, done) if workers == 1 else _divide(about, place, most, workers, threads, done)
    result = results(study, _facts_of_result(about))
    write_results(result, study, about.config, preset or place / PRESET, table or place / TABLE)
    return Found(result, signal)


class Announced:
    """Lines about trials that ended, each once.

    Args:
        study: The study; trials that had ended before are not announced.
        log: Called with each line.
    """

    def __init__(self, study: Any, log: Log) -> None:
        self._study, self._log = study, log
        self._known = {trial.number for trial in study.trials if trial.state.is_finished()}

    def __call__(self) -> None:
        """Announce those that ended since."""
        from metarl.tuning.result import line_of, row_of

        for trial in self._study.trials:
            if trial.state.is_finished() and trial.number not in self._known:
                self._known.add(trial.number)
                self._log(line_of(row_of(self._study, trial)))


def work(about: Search, study: Any, most: int, announce: Callable[[], None] = lambda: None) -> int | None:
    """Work on trials of a study until it has enough.

    Args:
        about: What the study is about.
        study: The study, a `metarl.tuning.Study`.
        most: Trials in total.
        announce: Called after each trial.

    Returns:
        The signal that stopped the work; None if there is nothing more to do.
    """
    from metarl.training.signals import StopSignals
    from metarl.tuning.trial import Stopped

    with StopSignals() as stop:
        while stop.received is None:
            claim = study.claim(most)
            if claim is None:
                return None
            try:
                _train(about, study, claim, lambda: stop.received)
            except Stopped as stopped:
                claim.put_back()
                return stopped.signal
            except RunError:
                claim.put_back()
                raise
            finally:
                claim.lock.release()
            announce()
        return stop.received


def _train(about: Search, study: Any, claim: Any, stop: Callable[[], int | None]) -> None:
    """Train the seeds of a trial and tell how it ended. Whatever a trial raises is its own end, not that of the study.

    Only a signal, and a directory that cannot be used, leave the trial to whoever goes on.
    """
    from optuna.trial import TrialState

    from metarl.tuning.trial import Stopped, scores_by_checkpoint

    trial = claim.trial
    try:
        config = with_values(about.config, claim.values)
        last = max(claim.reported, default=-1)
        score = claim.reported.get(last, float("nan"))
        pruned = last < config.iterations and bool(claim.reported) and trial.should_prune()
        kept = replace(config, keep_checkpoints=config.keep_checkpoints or 1)
        if not pruned:
            for scores in scores_by_checkpoint(claim.folder, about.algorithm, kept, about.seeds, after=last, stop=stop):
                trial.set_user_attr("scores", scores.by_seed)
                trial.set_user_attr("environment_steps", scores.data_used)
                trial.set_user_attr("seconds", round(scores.seconds, 3))
                score = scores.mean
                trial.report(score, scores.iteration)
                pruned = scores.iteration < config.iterations and trial.should_prune()
                if pruned:
                    break
    except (Stopped, RunError):
        raise
    except Divergence as error:
        # Pruned for the sampler, so that it learns to keep away.
        trial.set_user_attr("diverged", True)
        trial.set_user_attr("error", str(error))
        study.optuna.tell(trial, state=TrialState.PRUNED)
    except Exception as error:
        trial.set_user_attr("error", " ".join(in_words(error).split()))
        study.optuna.tell(trial, state=TrialState.FAIL)
    else:
        study.optuna.tell(trial, state=TrialState.PRUNED) if pruned else study.optuna.tell(trial, score)


def _divide(
    about: Search, place: Path, most: int, workers: int, threads: int | None, announce: Callable[[], None]
) -> int | None:
    """Have several processes work on the study, and wait for them; returns the signal that stopped them."""
    from metarl.training.signals import StopSignals

    context = multiprocessing.get_context("spawn")
    errors = context.SimpleQueue()
    each = threads or threads_of_user() or max(1, usable_cores() // workers)
    with StopSignals() as stop:
        with _environment(thread_environment(each)):
            processes = [context.Process(target=_worker, args=(about, place, most, errors)) for _ in range(workers)]
            for process in processes:
                process.start()
        forwarded = False
        while any(process.is_alive() for process in processes):
            for process in processes:
                process.join(POLL_SECONDS / workers)
            if stop.received is not None and not forwarded:
                forwarded = True
                for process in processes:
                    process.terminate()  # SIGTERM; after Ctrl-C on a terminal they have stopped already
            announce()
    announce()
    if not errors.empty():
        raise RunError(errors.get())
    died = [process.exitcode for process in processes if process.exitcode]
    if died and stop.received is None and len(died) == workers:
        raise RunError(f"{place}: all {workers} workers died (exit code {died[0]}); go on with the same command")
    return stop.received


def _worker(about: Search, place: Path, most: int, errors: Any) -> None:
    """One of several processes on a study."""
    from metarl.core.errors import MetarlError
    from metarl.tuning.study import Study

    try:
        work(about, Study(place, about.space, about.config.seed, about.sampler, about.prune), most)
    except MetarlError as error:
        errors.put(str(error))


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Environment variables for processes that are started inside the block."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _facts_of_result(about: Search) -> dict[str, Any]:
    config = about.config
    family = load_family(config.family, config.variant)
    kind = family.splits.kind
    family.close()
    number = config.inner.steps
    steps = f"{number} adaptation step{'' if number == 1 else 's'}"
    if "inner.steps" in about.space:
        steps = "the last adaptation step"
    text = f"return after {steps} on {config.validation_tasks} meta-validation tasks of each seed; mean over seeds"
    if kind == "shared":
        text += "; this family's splits share their tasks"
    return {
        "algorithm": about.algorithm,
        "family": config.family,
        "variant": config.variant,
        "splits": kind,
        "seeds": list(about.seeds),
        "sampler": about.sampler,
        "searched": [option_name(name) for name in about.space],
        "score": text,
    }

"""The loop around an algorithm's meta_step: tasks, metrics, checkpoints, signals."""

from __future__ import annotations

import importlib
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from metarl import __version__
from metarl.allocation import keep_freed_memory
from metarl.builder import DTYPES, as_trained, build_rule, check_device, fitting, initial_theta
from metarl.checkpoint import aligned, load_newest, prune, save_checkpoint, tidy
from metarl.config import RunConfig, has_schedule
from metarl.domains import REINFORCEMENT_LEARNING, Domain
from metarl.errors import ConfigError, Divergence, EnvironmentFault, MetarlError, RunError
from metarl.evaluation import adaptation_curve, finite_list
from metarl.initialisation import initialised_from
from metarl.inner import within_bounds
from metarl.launch import restarts
from metarl.manifest import data_used, list_checkpoints
from metarl.normalisation import updated
from metarl.randomness import Key
from metarl.ranks import ALONE, all_or_none, among, current, from_first, joined, largest, state_from_first
from metarl.run_directory import MetricsFile, RunLock, check_same, create, read_config
from metarl.soundness import check_sound
from metarl.stop_signals import StopSignals
from metarl.tasks import Tasks, take_tasks
from metarl.tensorboard_events import Events
from metarl.turns import on_share, parts_of
from metarl.types import State
from metarl.validation import validate
from metarl.workload import HeldProblem, Workload, open_workload

Reporter = Callable[[dict[str, Any]], None]
"""Called with each iteration's record, for progress bars and logs."""


@dataclass(frozen=True)
class Outcome:
    """How a training ended."""

    iteration: int
    signal: int | None = None
    """The signal that stopped it, if one did."""
    error: MetarlError | None = None
    """What ended it, where other seeds went on."""


def train(
    algorithm: str,
    config: RunConfig,
    run_dir: Path | str,
    *,
    domain: Domain = REINFORCEMENT_LEARNING,
    or_resume: bool = False,
    report: Reporter | None = None,
) -> Outcome:
    """Meta-train into a new run directory.

    With `or_resume`, go on with the run that is there if its configuration is the same.
    Raises ConfigError, RunError, FamilyError, EnvironmentFault or Divergence; checkpoints written so far stay.
    """
    with (
        joined(config.device, config.rank_timeout),
        opened(algorithm, config, Path(run_dir), domain, or_resume) as training,
    ):
        return training.run(config.iterations, report)


def opened(algorithm: str, config: RunConfig, run: Path, domain: Domain, or_resume: bool) -> Training:
    """A hold on a new run, or with `or_resume` on the one that is there if its configuration is the same."""
    validate(config)
    check_device(config.device)
    there = from_first(is_there(run, or_resume))
    with all_or_none():
        if there and current().index == 0:
            check_same(run, algorithm, config, domain)
    return Training(domain, algorithm, config, run, new=not there)


def is_there(run: Path, or_resume: bool) -> bool:
    """Whether a run is to be gone on with. A process that torchrun restarted finds what its predecessor began."""
    return (or_resume or restarts() > 0) and (run / "config.toml").exists()


def resume(
    run_dir: Path | str,
    *,
    domain: Domain = REINFORCEMENT_LEARNING,
    iterations: int | None = None,
    extend_schedule: bool = False,
    report: Reporter | None = None,
) -> Outcome:
    """Go on with a run from its newest whole checkpoint, up to `iterations` in total (default: as configured).

    The result is bitwise that of a run which was never interrupted.
    """
    run = Path(run_dir)
    algorithm, config = read_config(run, domain)
    total = config.iterations if iterations is None else iterations
    if total < 0:
        raise ConfigError(f"--iterations = {total}; expected a number that is not negative")
    if has_schedule(config) and total > config.iterations and not extend_schedule:
        raise ConfigError(
            f"--iterations = {total}; the schedule of {algorithm} ends at {config.iterations}; "
            "add --extend-schedule to go on at its last value"
        )
    with (
        joined(config.device, config.rank_timeout),
        Training(domain, algorithm, config, run, new=False) as training,
    ):
        return training.run(total, report)


class Training:
    """One process's hold on a run: the objects that its configuration describes, and what it has written."""

    def __init__(self, domain: Domain, algorithm: str, config: RunConfig, run: Path, *, new: bool) -> None:
        keep_freed_memory()
        self.domain, self.algorithm, self.config, self.run_dir = domain, algorithm, config, run
        self.module: Any = importlib.import_module(domain.find(algorithm).module)
        self.workload: Workload = open_workload(domain, config)
        ranks = current().size
        if config.meta_batch_size < ranks:
            expected = f"at least {ranks}, a task for each process"
            raise ConfigError(f"--meta-batch-size = {config.meta_batch_size}; expected {expected}")
        parts = parts_of(config.meta_batch_size, config.ordered_sums)
        self.problems = [self.workload.problem(training=True) for _ in parts]
        self.rule = build_rule(config)
        self.root = Key.from_seed(config.seed)
        self.validation: HeldProblem | None = None
        self.iteration, self.data_used, self.wall_seconds = 0, 0, 0.0
        self.saved: int | None = None
        self.beside = 0
        """Runs of other seeds that are trained in one batch with this one."""
        self.state: State = self.module.initial_state(initial_theta(config, self.workload.model, config.seed), config)
        self.leads = current().index == 0
        with all_or_none():
            if self.leads:
                self._open(new)
        found = (self.iteration, self.saved, self.data_used, self.wall_seconds)
        self.iteration, self.saved, self.data_used, self.wall_seconds = from_first(found)
        self.state = state_from_first(self.state)

    def _open(self, new: bool) -> None:
        """Make the run directory or take up the run that is there."""
        run, config = self.run_dir, self.config
        if config.initialise_from is not None and not list_checkpoints(run):
            drawn = self.state["theta"]
            self.state = self.module.initial_state(initialised_from(config.initialise_from, drawn, config), config)  # type: ignore[arg-type]
        # Only a configuration that has proved usable leaves a directory behind.
        self.lock = create(run, self.algorithm, config, self.domain) if new else RunLock(run)
        tidy(run)
        loaded = load_newest(run, check_device(config.device))
        if loaded is not None:
            state, manifest = loaded
            theta = as_trained(config, self.workload.model, state["theta"], str(run))
            dtype = DTYPES[config.dtype]
            if any(value.dtype != dtype for value in theta.values()):
                raise RunError(f"{run}: its checkpoints are not {config.dtype}, as config.toml says")
            then, now = manifest["threads"], torch.get_num_threads()
            if then != now:
                reason = "sums are rounded differently, so it will not be bitwise the same"
                warnings.warn(f"{run}: trained with {then} threads, goes on with {now}: {reason}", stacklevel=2)
            then, now = manifest.get("processes", 1), current().size
            if then != now and not config.ordered_sums:
                reason = "sums are rounded differently, so it will not be bitwise the same (--ordered-sums would be)"
                warnings.warn(f"{run}: trained by {then} processes, goes on with {now}: {reason}", stacklevel=2)
            self.state = fitting({**state, "theta": theta}, self.state, str(run))
            self.beside = manifest.get("beside", 0)
            self.iteration = self.saved = manifest["iteration"]
            self.data_used = data_used(manifest)
            self.wall_seconds = manifest["wall_seconds"]
        self.metrics = MetricsFile(run, self.iteration)

    def __enter__(self) -> Training:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for problem in self.problems:
            problem.close()
        if self.validation is not None:
            self.validation.close()
        self.workload.close()
        if self.leads:
            self.metrics.close()
            self.lock.release()

    def run(self, total: int, report: Reporter | None) -> Outcome:
        """Iterate to `total`, with a checkpoint at the end, at the configured interval and on a signal."""
        self.goes_on_beside(0)
        with self.recording(report), StopSignals() as stop:
            while self.iteration < total and not stop.anywhere():
                self.record(self.iterate())
                if self.due(total) and not stop.anywhere():
                    self.save()
            return self.ended(stop.anywhere())

    def goes_on_beside(self, others: int) -> None:
        """Note how many runs of other seeds are in one batch with this one, with a warning where it began otherwise."""
        if self.saved is not None and self.beside != others:
            then, now = (f"in a batch with {n} other seeds" if n else "alone" for n in (self.beside, others))
            reason = "sums may be rounded differently, so it may not be bitwise the same"
            warnings.warn(f"{self.run_dir}: trained {then}, goes on {now}: {reason}", stacklevel=3)
        self.beside = others

    @contextmanager
    def recording(self, report: Reporter | None = None) -> Iterator[None]:
        """Within, the clock runs, and iterations can be recorded."""
        self._started, self._report, self._events = time.perf_counter() - self.wall_seconds, report, None
        if not self.leads:
            yield
            return
        with Events(self.run_dir, self.iteration, self.domain) as self._events:
            yield

    def record(self, metrics: dict[str, Any]) -> dict[str, Any]:
        """Write what an iteration measured, and report it."""
        self.wall_seconds = time.perf_counter() - self._started
        record = {
            "iteration": self.iteration,
            self.domain.unit: self.data_used,
            "wall_seconds": round(self.wall_seconds, 6),
            **metrics,
        }
        if self._events is not None:
            self.metrics.append(record)
            self._events.write(record)
            if self._report is not None:
                self._report(record)
        return record

    def due(self, total: int) -> bool:
        """Whether a checkpoint is to be written before the end."""
        return self.iteration % self.config.checkpoint_every == 0 and self.iteration < total

    def ended(self, signal: int | None) -> Outcome:
        """The last iteration saved, unless it is."""
        if self.saved != self.iteration:
            self.save(validate=signal is None)
        return Outcome(self.iteration, signal)

    def iterate(self) -> dict[str, Any]:
        """One meta-iteration: a function of state, iteration and seed alone."""
        before = current().exchanged
        try:
            state, metrics = self._meta_step()
        except (Divergence, EnvironmentFault) as error:
            error.args = (f"iteration {self.iteration + 1}: {error}",)
            raise
        metrics = self.accept(state, metrics)
        if "exchanged_bytes" in metrics:
            by_phase = metrics["exchanged_bytes"]
            by_phase["state"] = current().exchanged - before - sum(by_phase.values())
        return metrics

    def next_step(self) -> tuple[Tasks, Key, float]:
        """What the next step is a function of, beside the state: its tasks, their randomness, and the progress."""
        config, number = self.config, self.iteration + 1
        rng = self.root.at("tasks", number).generator()
        tasks = self.workload.sample_tasks(config.meta_batch_size, "meta-train", rng)
        # Past the end of a schedule its last value holds.
        progress = max(min(number, config.iterations) - 1, 0) / max(config.iterations, 1)
        return tasks, self.root.at("iteration", number), progress

    def accept(self, state: State, metrics: dict[str, Any]) -> dict[str, Any]:
        """Take the state that a step made; raises Divergence where it cannot be gone on from."""
        number = self.iteration + 1
        theta = within_bounds(state["theta"], self.config.inner.lr)
        state["theta"] = updated(theta, metrics.pop("observed", None))
        check_sound(state, metrics, self.config, number)
        self.state, self.iteration = aligned(state_from_first(state)), number
        self.data_used += metrics.pop("transitions")
        return {self.domain.measure: metrics.pop("return"), **metrics}

    def _meta_step(self) -> tuple[State, dict[str, Any]]:
        """The algorithm's step on this process's share of the tasks."""
        tasks, key, progress = self.next_step()

        def of(part: slice, place: int) -> tuple[State, dict[str, Any]]:
            own, problem = take_tasks(tasks, part), self.problems[place]
            return self.module.meta_step(  # type: ignore[no-any-return]
                self.state, problem, own, key.from_task(part.start), self.rule, self.config, progress
            )

        return on_share(self.config.meta_batch_size, self.config.ordered_sums, of)

    def save(self, *, validate: bool = True) -> None:
        """Write a checkpoint, scored on meta-validation tasks unless somebody is waiting for us to stop."""
        facts: dict[str, Any] = {
            "algorithm": self.algorithm,
            "unit": self.domain.unit,
            self.domain.unit: self.data_used,
            "wall_seconds": round(self.wall_seconds, 6),
            "metarl": __version__,
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "processes": current().size,
            "beside": self.beside,
            **self.workload.facts(),
            "meta_validation": self._validate() if validate else None,
        }
        with all_or_none():
            if self.leads:
                self.metrics.sync()
                save_checkpoint(self.run_dir, self.iteration, self.state, facts)
                if self.config.keep_checkpoints:
                    prune(self.run_dir, self.config.keep_checkpoints, self.iteration)
        self.saved = self.iteration
        if self._events is not None and facts["meta_validation"] is not None:
            self._events.write_validation(facts["meta_validation"], self.iteration)

    def _validate(self) -> dict[str, Any] | None:
        """Mean scores at adaptation steps 0..K on meta-validation tasks; the last one scores the checkpoint."""
        if self.config.validation_tasks == 0 or "meta-validation" not in self.workload.splits.names:
            return None
        key = self.root.at("meta-validation")
        tasks = self.workload.sample_tasks(self.config.validation_tasks, "meta-validation", key.at("tasks").generator())
        parts = parts_of(self.config.validation_tasks, self.config.ordered_sums)
        if self.validation is None:
            self.validation = self.workload.problem(training=False)
        theta, steps = self.workload.at_test(self.state["theta"], key), self.config.inner.steps
        try:
            with all_or_none(), among(ALONE):
                curves = [
                    adaptation_curve(self.validation, theta, tasks, key, self.rule, steps, part=part) for part in parts
                ]
        except (Divergence, EnvironmentFault) as error:
            self.validation.close()  # workers that failed are of no more use
            warnings.warn(f"iteration {self.iteration}: the checkpoint has no score: {error}", stacklevel=2)
            return None
        means = finite_list(current().gather(torch.cat([curve.per_task for curve in curves])).mean(0))
        found = {"score": means[-1], self.domain.measure: means, "tasks": self.config.validation_tasks}
        if largest(int(any(curve.successes is not None for curve in curves)))[0]:
            rates = [curve.successes if curve.successes is not None else 0 * curve.per_task for curve in curves]
            found["success"] = finite_list(current().gather(torch.cat(rates)).mean(0))
        return None if means[-1] is None else found

"""The training loop around an algorithm's `meta_step`: tasks, metrics, checkpoints, signals."""

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
from metarl.adaptation.curve import adaptation_curve
from metarl.adaptation.gradient import within_bounds
from metarl.adaptation.parameters import fitting
from metarl.adaptation.setup import ClosableProblem
from metarl.core.errors import Divergence, EnvironmentFault, MetarlError, RunError
from metarl.core.launch import threads_of_user
from metarl.core.machine import choose_threads
from metarl.core.numbers import finite, finite_list
from metarl.core.ordered_sums import on_share, parts_of
from metarl.core.params import State
from metarl.core.prng import Key
from metarl.core.ranks import (
    ALONE,
    all_reduce_max,
    broadcast_rank0,
    broadcast_state,
    current,
    sync_errors,
    use_ranks,
)
from metarl.families.tasks import Tasks, take_tasks
from metarl.rl.normalisation import updated
from metarl.runs.checkpoint import aligned, load_newest, prune, save_checkpoint, tidy
from metarl.runs.directory import MetricsFile, RunLock, create
from metarl.runs.manifest import NUMERICS, check_numerics, data_used, list_checkpoints
from metarl.runs.sources import metarl_commit
from metarl.runs.tensorboard import Events
from metarl.training.assembly import Assembly
from metarl.training.initialise import initialised_from
from metarl.training.signals import StopSignals
from metarl.training.soundness import check_sound

Reporter = Callable[[dict[str, Any]], None]
"""Callback with each iteration's record, for progress bars and logs."""


@dataclass(frozen=True)
class Outcome:
    """Outcome of a training."""

    iteration: int
    """Number of completed iterations."""
    signal: int | None = None
    """The signal that stopped training; None if there was none."""
    error: MetarlError | None = None
    """The error that ended this run of a batch of seeds; None if there was none."""


class Training:
    """A training in progress in this process: its parts, state and files. A context manager that closes them.

    Args:
        parts: The parts of the configuration.
        run: The run directory.
        new: Whether the run directory is created; otherwise the run is resumed from its newest intact checkpoint.
        accept_numerics: Whether a run of another numerics version may be resumed.
        seeds: Number of runs that are trained in one batch.

    Raises:
        RunError: The run directory cannot be created or locked, or its checkpoints do not fit the configuration.
    """

    def __init__(self, parts: Assembly, run: Path, *, new: bool, accept_numerics: bool = False, seeds: int = 1) -> None:
        config = parts.config
        self.parts, self.kind, self.config, self.run_dir = parts, parts.kind, config, run
        self.setup, self.adapter = parts.setup, parts.adapter
        self.module: Any = importlib.import_module(parts.found.module)
        shares = parts_of(config.meta_batch_size, config.ordered_sums)
        self.problems = [self.setup.problem(training=True) for _ in shares]
        self.root = Key.from_seed(config.seed)
        self.validation: ClosableProblem | None = None
        self.iteration, self.data_used, self.wall_seconds = 0, 0, 0.0
        self.saved: int | None = None
        self.threads: int | None = None
        """Number of torch's threads, the same for the whole run."""
        self.co_seeds = 0
        """Number of other seeds that are trained in one batch with this one."""
        self.state: State = self.module.initial_state(parts.initial_theta(), config)
        self.leads = current().index == 0
        with sync_errors():
            if self.leads:
                self._open(new, accept_numerics)
        found = (self.iteration, self.saved, self.data_used, self.wall_seconds, self.threads)
        self.iteration, self.saved, self.data_used, self.wall_seconds, self.threads = broadcast_rank0(found)
        self.state = broadcast_state(self.state)
        if self.threads is None:
            elements = seeds * self.setup.largest_tensor() // current().size
            self.threads = broadcast_rank0(choose_threads(elements, processes=current().size))
        self._threads_before = torch.get_num_threads()
        torch.set_num_threads(self.threads)

    def _open(self, new: bool, accept_numerics: bool) -> None:
        """Create the run directory, or load the existing run."""
        run, config = self.run_dir, self.config
        if config.initialise_from is not None and not list_checkpoints(run):
            drawn = self.state["theta"]
            self.state = self.module.initial_state(initialised_from(config.initialise_from, drawn, config), config)  # type: ignore[arg-type]
        # Created only after everything else succeeded, so that an invalid configuration leaves no directory behind.
        self.lock = create(run, self.parts.algorithm, config, self.kind) if new else RunLock(run)
        try:
            tidy(run)
            loaded = load_newest(run, self.parts.device)
            if loaded is not None:
                self._take_up(*loaded, accept_numerics)
            self.metrics = MetricsFile(run, self.iteration)
        except BaseException:
            self.lock.release()
            raise

    def _take_up(self, state: State, manifest: dict[str, Any], accept_numerics: bool) -> None:
        """Continue from a checkpoint, with a warning if the result will not be bitwise the same."""
        run, config = self.run_dir, self.config
        now = self.setup.facts()
        for name in ("family", "horizon"):
            if manifest.get(name, now.get(name)) != now.get(name):
                here = f"{name} is {manifest[name]!r:.80} there and {now.get(name)!r} here"
                raise RunError(f"{run}: not resumed: its {here}")
        theta = self.parts.as_trained(state["theta"], str(run), manifest)
        if any(value.dtype != self.parts.dtype for value in theta.values()):
            raise RunError(f"{run}: its checkpoints are not {config.dtype}, as config.toml says")
        if not accept_numerics:
            check_numerics(run, manifest)
        then, threads = manifest["threads"], threads_of_user() or manifest["threads"]
        if then != threads:
            reason = "sums are rounded differently, so it will not be bitwise the same"
            warnings.warn(f"{run}: trained with {then} threads, goes on with {threads}: {reason}", stacklevel=2)
        self.threads = threads
        then, processes = manifest.get("processes", 1), current().size
        if then != processes and not config.ordered_sums:
            reason = "sums are rounded differently, so it will not be bitwise the same (--ordered-sums would be)"
            warnings.warn(f"{run}: trained by {then} processes, goes on with {processes}: {reason}", stacklevel=2)
        self.state = fitting({**state, "theta": theta}, self.state, str(run))
        self.co_seeds = manifest.get("beside", 0)
        self.iteration = self.saved = manifest["iteration"]
        self.data_used = data_used(manifest)
        self.wall_seconds = manifest["wall_seconds"]

    def __enter__(self) -> Training:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        torch.set_num_threads(self._threads_before)
        for problem in self.problems:
            problem.close()
        if self.validation is not None:
            self.validation.close()
        if self.leads:
            self.metrics.close()
            self.lock.release()

    def run(self, total: int, report: Reporter | None) -> Outcome:
        """Train up to iteration `total`, with checkpoints at the configured interval, at the end, and after a signal.

        Args:
            total: The last iteration.
            report: Called with each iteration's record.
        """
        self.note_co_seeds(0)
        with self.recording(report), StopSignals() as stop:
            while self.iteration < total and not stop.anywhere():
                self.record(self.iterate())
                if self.due(total) and not stop.anywhere():
                    self.save()
            return self.ended(stop.anywhere())

    def note_co_seeds(self, others: int) -> None:
        """Record the number of co-batched seeds; warn if it differs from the checkpoint's."""
        if self.saved is not None and self.co_seeds != others:
            then, now = (f"in a batch with {n} other seeds" if n else "alone" for n in (self.co_seeds, others))
            reason = "sums may be rounded differently, so it may not be bitwise the same"
            warnings.warn(f"{self.run_dir}: trained {then}, goes on {now}: {reason}", stacklevel=3)
        self.co_seeds = others

    @contextmanager
    def recording(self, report: Reporter | None = None) -> Iterator[None]:
        """Run the clock and open the event file inside the block, so that iterations can be recorded."""
        self._started, self._report, self._events = time.perf_counter() - self.wall_seconds, report, None
        if not self.leads:
            yield
            return
        with Events(self.run_dir, self.iteration, self.kind) as self._events:
            yield

    def record(self, metrics: dict[str, Any]) -> dict[str, Any]:
        """Write the metrics of an iteration to the run's files, and report them.

        Args:
            metrics: Metrics by name.

        Returns:
            The record: the metrics with iteration, amount of data and wall time.
        """
        self.wall_seconds = time.perf_counter() - self._started
        record = {
            "iteration": self.iteration,
            self.kind.unit: self.data_used,
            "wall_seconds": round(self.wall_seconds, 6),
            **metrics,
        }
        if self._events is not None:
            self.metrics.append(finite(record))
            self._events.write(record)
            if self._report is not None:
                self._report(record)
        return record

    def due(self, total: int) -> bool:
        """Whether the current iteration, before the last, is one with a checkpoint."""
        return self.iteration % self.config.checkpoint_every == 0 and self.iteration < total

    def ended(self, signal: int | None) -> Outcome:
        """Save the current iteration unless it is saved, and return the outcome."""
        if self.saved != self.iteration:
            self.save(validate=signal is None)
        return Outcome(self.iteration, signal)

    def iterate(self) -> dict[str, Any]:
        """Run one meta-iteration, a function of state, iteration and seed alone; returns its metrics.

        Raises:
            Divergence: Parameters or data are not finite; the state is unchanged.
            EnvironmentFault: An environment failed.
        """
        before = current().bytes_sent
        try:
            state, metrics = self._meta_step()
        except (Divergence, EnvironmentFault) as error:
            error.args = (f"iteration {self.iteration + 1}: {error}",)
            raise
        metrics = self.accept(state, metrics)
        if "exchanged_bytes" in metrics:
            by_phase = metrics["exchanged_bytes"]
            by_phase["state"] = current().bytes_sent - before - sum(by_phase.values())
        return metrics

    def next_step(self) -> tuple[Tasks, Key, float]:
        """Arguments of the next step other than the state: its tasks, its key, and the progress."""
        config, number = self.config, self.iteration + 1
        rng = self.root.at("tasks", number).generator()
        tasks = self.setup.sample_tasks(config.meta_batch_size, "meta-train", rng)
        # Past the end of a schedule its last value is used.
        progress = max(min(number, config.iterations) - 1, 0) / max(config.iterations, 1)
        return tasks, self.root.at("iteration", number), progress

    def accept(self, state: State, metrics: dict[str, Any]) -> dict[str, Any]:
        """Install the new state; raise Divergence if it contains non-finite values.

        Args:
            state: The state that `meta_step` returned.
            metrics: Its metrics.

        Returns:
            The metrics for the record of the iteration.
        """
        number = self.iteration + 1
        theta = within_bounds(state["theta"], self.config.inner.lr)
        state["theta"] = updated(theta, metrics.pop("observed", None))
        check_sound(state, metrics, self.config, number)
        self.state, self.iteration = aligned(broadcast_state(state)), number
        self.data_used += metrics.pop("transitions")
        return {self.kind.measure: metrics.pop("return"), **metrics}

    def _meta_step(self) -> tuple[State, dict[str, Any]]:
        """Run the algorithm's step on this process's share of the tasks."""
        tasks, key, progress = self.next_step()

        def of(part: slice, place: int) -> tuple[State, dict[str, Any]]:
            own, problem = take_tasks(tasks, part), self.problems[place]
            return self.module.meta_step(  # type: ignore[no-any-return]
                self.state, problem, own, key.from_task(part.start), self.adapter, self.config, progress
            )

        return on_share(self.config.meta_batch_size, self.config.ordered_sums, of)

    def save(self, *, validate: bool = True) -> None:
        """Write a checkpoint.

        Args:
            validate: Whether the checkpoint is evaluated on meta-validation tasks; not after a signal, to stop quickly.
        """
        facts: dict[str, Any] = {
            "algorithm": self.parts.algorithm,
            "unit": self.kind.unit,
            self.kind.unit: self.data_used,
            "wall_seconds": round(self.wall_seconds, 6),
            "metarl": __version__,
            "commit": metarl_commit(),
            "numerics": NUMERICS,
            "torch": torch.__version__,
            "threads": self.threads,
            "processes": current().size,
            "beside": self.co_seeds,
            **self.setup.facts(),
            "meta_validation": self._validate() if validate else None,
        }
        with sync_errors():
            if self.leads:
                self.metrics.sync()
                save_checkpoint(self.run_dir, self.iteration, self.state, facts)
                if self.config.keep_checkpoints:
                    prune(self.run_dir, self.config.keep_checkpoints, self.iteration)
        self.saved = self.iteration
        if self._events is not None and facts["meta_validation"] is not None:
            self._events.write_validation(facts["meta_validation"], self.iteration)

    def _validate(self) -> dict[str, Any] | None:
        """Mean performance on meta-validation tasks at steps 0..K; the last is the score of the checkpoint."""
        if self.config.validation_tasks == 0 or "meta-validation" not in self.setup.splits.names:
            return None
        key = self.root.at("meta-validation")
        tasks = self.setup.sample_tasks(self.config.validation_tasks, "meta-validation", key.at("tasks").generator())
        parts = parts_of(self.config.validation_tasks, self.config.ordered_sums)
        if self.validation is None:
            self.validation = self.setup.problem(training=False)
        theta, steps = self.setup.at_test(self.state["theta"], key), self.config.inner.steps
        try:
            with sync_errors(), use_ranks(ALONE):
                curves = [
                    adaptation_curve(self.validation, theta, tasks, key, self.adapter, steps, part=part)
                    for part in parts
                ]
        except (Divergence, EnvironmentFault) as error:
            self.validation.close()  # failed workers cannot be used again
            warnings.warn(f"iteration {self.iteration}: the checkpoint has no score: {error}", stacklevel=2)
            return None
        means = finite_list(current().gather(torch.cat([curve.per_task for curve in curves])).mean(0))
        found = {"score": means[-1], self.kind.measure: means, "tasks": self.config.validation_tasks}
        if all_reduce_max(int(any(curve.successes is not None for curve in curves)))[0]:
            rates = [curve.successes if curve.successes is not None else 0 * curve.per_task for curve in curves]
            found["success"] = finite_list(current().gather(torch.cat(rates)).mean(0))
        return None if means[-1] is None else found

"""The training loop around an algorithm's `meta_step`: tasks, metrics, checkpoints, signals."""

from __future__ import annotations

import importlib
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from metarl import __version__
from metarl.adaptation.gradient import within_bounds
from metarl.adaptation.parameters import fitting
from metarl.callbacks.callback import Outcome
from metarl.callbacks.dispatch import Callbacks
from metarl.core.errors import Divergence, EnvironmentFault, MetarlError, RunError, in_words
from metarl.core.launch import threads_of_user
from metarl.core.machine import choose_threads
from metarl.core.numbers import finite
from metarl.core.ordered_sums import on_share, parts_of
from metarl.core.params import State
from metarl.core.prng import Key
from metarl.core.ranks import all_reduce_max, broadcast_rank0, broadcast_state, current, sync_errors
from metarl.families.tasks import Tasks, take_tasks
from metarl.rl.normalisation import updated
from metarl.runs.checkpoint import aligned, load_newest, prune, save_checkpoint, tidy
from metarl.runs.directory import MetricsFile, RunLock, create
from metarl.runs.manifest import NUMERICS, check_numerics, data_used, list_checkpoints, recorded_scores
from metarl.runs.sources import metarl_commit
from metarl.runs.tensorboard import Events
from metarl.training.assembly import Assembly
from metarl.training.early_stopping import early_stop
from metarl.training.initialise import initialised_from
from metarl.training.signals import StopSignals
from metarl.training.soundness import check_sound
from metarl.training.validation import Validation
from metarl.training.view import view_of

Reporter = Callable[[dict[str, Any]], None]
"""Callback with each iteration's record, for progress bars and logs."""


class Training:
    """A training in progress in this process: its parts, state and files. A context manager that closes them.

    Args:
        parts: The parts of the configuration.
        run: The run directory.
        new: Whether the run directory is created; otherwise the run is resumed from its newest intact checkpoint.
        accept_numerics: Whether a run of another numerics version may be resumed.
        seeds: Number of runs that are trained in one batch.
        callbacks: Called in rank 0 at the events of this run.

    Raises:
        RunError: The run directory cannot be created or locked, or its checkpoints do not fit the configuration.
    """

    def __init__(
        self,
        parts: Assembly,
        run: Path,
        *,
        new: bool,
        accept_numerics: bool = False,
        seeds: int = 1,
        callbacks: Callbacks | None = None,
    ) -> None:
        config = parts.config
        self.parts, self.kind, self.config, self.run_dir = parts, parts.kind, config, run
        self.setup = parts.setup
        self.module: Any = importlib.import_module(parts.found.module)
        shares = parts_of(config.meta_batch_size, config.ordered_sums)
        self.problems = [self.setup.problem(training=True) for _ in shares]
        self.root = Key.from_seed(config.seed)
        self.validation = Validation(parts)
        self.iteration, self.data_used, self.wall_seconds = 0, 0, 0.0
        self.saved: int | None = None
        self.threads: int | None = None
        """Number of torch's threads, the same for the whole run."""
        self.co_seeds = 0
        """Number of other seeds that are trained in one batch with this one."""
        self.stop: str | None = None
        """Why early stopping or a callback ends the run; the same on all ranks, as is all that follows here."""
        self.scores: dict[int, float | None] = {}
        """Score of each checkpoint at the configured interval, by iteration."""
        self.patience_from = 0
        """Iteration from which the patience of early stopping is counted."""
        self.validated: tuple[int, dict[str, Any] | None] = (-1, None)
        """The last iteration that was measured on meta-validation tasks, and the result."""
        self.state: State = self.module.initial_state(parts.initial_theta(), config)
        self.leads = current().index == 0
        self.callbacks = callbacks if callbacks is not None and self.leads else Callbacks()
        self.last_record: dict[str, Any] = {}
        self.total = config.iterations
        with sync_errors():
            if self.leads:
                self._open(new, accept_numerics)
        found = (self.iteration, self.saved, self.data_used, self.wall_seconds, self.threads)
        self.iteration, self.saved, self.data_used, self.wall_seconds, self.threads = broadcast_rank0(found)
        decided = (self.stop, self.patience_from, self.validated, [*self.scores.items()])
        self.stop, self.patience_from, self.validated, scores = broadcast_rank0(decided)
        self.scores, self._stop_saved = dict(scores), self.stop
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
        self.stop, self.patience_from = manifest.get("stopped"), manifest.get("patience_from", 0)
        self.scores = recorded_scores(run, manifest, config.checkpoint_every)
        if manifest.get("meta_validation") is not None:
            self.validated = (self.iteration, manifest["meta_validation"])

    def __enter__(self) -> Training:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        torch.set_num_threads(self._threads_before)
        for problem in self.problems:
            problem.close()
        self.validation.close()
        if self.leads:
            self.metrics.close()
            self.lock.release()

    def run(self, total: int, report: Reporter | None) -> Outcome:
        """Train up to iteration `total`, with checkpoints at the configured interval, at the end, and after a stop.

        Args:
            total: The last iteration.
            report: Called with each iteration's record.

        Raises:
            CallbackFault: A callback raised; the run is saved.
        """
        self.note_co_seeds(0)
        with self.recording(total, report), StopSignals() as stop:
            while self.iteration < total and not stop.anywhere() and not self.stops():
                self.record(self.iterate())
                if self.due(total) and not stop.anywhere():
                    self.save()
            outcome = self.ended(stop.anywhere())
        with sync_errors():
            if self.callbacks.fault is not None:
                raise self.callbacks.fault
        return outcome

    def stops(self) -> bool:
        """Whether early stopping, a callback or its error ends training; equal on all ranks."""
        asked = self.callbacks.stop is not None or self.callbacks.fault is not None
        if not all_reduce_max(int(asked))[0]:
            return self.stop is not None
        self.stop = broadcast_rank0(self.stop or self.callbacks.stop)
        return True

    def go_on(self) -> None:
        """Continue a run that early stopping or a callback ended; patience is counted from here."""
        if self.stop is not None:
            self.stop, self.patience_from = None, self.iteration

    def note_co_seeds(self, others: int) -> None:
        """Record the number of co-batched seeds; warn if it differs from the checkpoint's."""
        if self.saved is not None and self.co_seeds != others:
            then, now = (f"in a batch with {n} other seeds" if n else "alone" for n in (self.co_seeds, others))
            reason = "sums may be rounded differently, so it may not be bitwise the same"
            warnings.warn(f"{self.run_dir}: trained {then}, goes on {now}: {reason}", stacklevel=3)
        self.co_seeds = others

    @contextmanager
    def recording(self, total: int, report: Reporter | None = None) -> Iterator[None]:
        """Run the clock, open the event file and start the callbacks, so that iterations can be recorded inside.

        Args:
            total: The last iteration.
            report: Called with each iteration's record.
        """
        self._started, self._report, self.total = time.perf_counter() - self.wall_seconds, report, total
        self._events = Events(self.run_dir, self.iteration, self.kind) if self.leads else None
        self.outcome: Outcome | None = None
        with self._events or nullcontext():
            with sync_errors():
                self.callbacks.start(view_of(self))
            try:
                if self.unscored() and self.stop is None:
                    self.save()  # a signal left no time to score it
                yield
            except BaseException as error:
                known = error if isinstance(error, MetarlError) else RunError(f"ended by {in_words(error)}")
                self.outcome = Outcome(self.iteration, error=known)
                raise
            finally:
                self.callbacks.end(view_of(self), self.outcome or Outcome(self.iteration))

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
        if self.callbacks:
            self.last_record = finite(record)
            self.callbacks.iteration(view_of(self))
        return record

    def due(self, total: int) -> bool:
        """Whether the current iteration, before the last, is one with a checkpoint."""
        return self.iteration % self.config.checkpoint_every == 0 and self.iteration < total

    def ended(self, signal: int | None) -> Outcome:
        """Save the current iteration unless it is saved, and return the outcome."""
        interrupted = signal is not None or self.callbacks.fault is not None
        if self.saved != self.iteration or self.stop != self._stop_saved:
            self.save(validate=not broadcast_rank0(interrupted))
        self.outcome = Outcome(self.iteration, signal, self.callbacks.fault, self.stop)
        return self.outcome

    def failed(self, error: MetarlError) -> Outcome:
        """The outcome of a run that an error ended; its checkpoints remain as they are."""
        self.outcome = Outcome(self.iteration, error=error)
        return self.outcome

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
        adapter = self.parts.adapter_at(self.iteration + 1)

        def of(part: slice, place: int) -> tuple[State, dict[str, Any]]:
            own, problem = take_tasks(tasks, part), self.problems[place]
            return self.module.meta_step(  # type: ignore[no-any-return]
                self.state, problem, own, key.from_task(part.start), adapter, self.config, progress
            )

        return on_share(self.config.meta_batch_size, self.config.ordered_sums, of)

    def unscored(self) -> bool:
        """Whether the current iteration has a checkpoint at the configured interval whose score is missing."""
        due = self.iteration > 0 and self.iteration % self.config.checkpoint_every == 0
        return due and self.saved == self.iteration and self.validation.possible and self.iteration not in self.scores

    def save(self, *, validate: bool = True) -> None:
        """Write a checkpoint, and decide on early stopping if it is one at the configured interval.

        Args:
            validate: Whether the checkpoint is evaluated on meta-validation tasks; not after a signal, to stop quickly.
        """
        number, every = self.iteration, self.config.checkpoint_every
        news = self.saved != number or self.validated[0] != number
        if validate and self.validated[0] != number:
            self.validated = number, self.validation.measure(self.state["theta"], number)
        found = self.validated[1] if self.validated[0] == number else None
        if validate and self.validation.possible and number and number % every == 0 and number not in self.scores:
            self.scores[number] = found["score"] if found else None
            self.stop = self.stop or early_stop(self.scores, self.config.early_stop, self.patience_from)
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
            "meta_validation": found,
            "scores": [*self.scores.items()],
            "patience_from": self.patience_from,
            "stopped": self.stop,
        }
        with sync_errors():
            if self.leads:
                self.metrics.sync()
                save_checkpoint(self.run_dir, self.iteration, self.state, facts)
                if self.config.keep_checkpoints:
                    prune(self.run_dir, self.config.keep_checkpoints, self.iteration)
        self.saved, self._stop_saved = self.iteration, self.stop
        if self._events is not None and found is not None and news:
            self._events.write_validation(found, self.iteration)
        if self.callbacks and news:
            self.callbacks.checkpoint(view_of(self))

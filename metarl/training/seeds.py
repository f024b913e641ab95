"""Training of several seeds of one configuration by one command.

Each run keeps its own state, run directory and outcome.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from metarl.adaptation.setup import ClosableProblem
from metarl.algorithms.metrics import tree_map
from metarl.callbacks.callback import Outcome
from metarl.callbacks.dispatch import Callbacks
from metarl.config.registry import REINFORCEMENT_LEARNING, ProblemKind
from metarl.config.run import RunConfig
from metarl.core.errors import ConfigError, Divergence, EnvironmentFault
from metarl.core.launch import place_of_launch
from metarl.core.params import State
from metarl.core.ranks import ALONE, use_ranks
from metarl.core.seed_axis import stacked, state_of, use_seed_axis
from metarl.families.tasks import join_tasks
from metarl.runs.directory import check_free
from metarl.training.assembly import Assembly, assemble
from metarl.training.loop import Reporter, Training
from metarl.training.signals import StopSignals
from metarl.training.start import is_there, opened


def train_seeds(
    algorithm: str,
    config: RunConfig,
    seeds: Sequence[int],
    run_dir: Path,
    kind: ProblemKind = REINFORCEMENT_LEARNING,
    or_resume: bool = False,
    accept_numerics: bool = False,
    at_once: int | None = None,
    log: Callable[[str], None] = lambda line: None,
    display: Callable[[], AbstractContextManager[Reporter | None]] = nullcontext,
    callbacks: Callable[[], Callbacks] = Callbacks,
) -> Iterator[tuple[Path, Outcome]]:
    """Train a run for each seed into `run_dir/seed-N`.

    Seeds in one batch agree with runs of a single seed up to rounding; seeds that are trained one after another agree
    bitwise. The processes of torchrun divide the seeds among them. If a seed diverges or its environment fails, the
    error is its outcome, and training of the other seeds continues. After a signal no further seed is started.

    Args:
        algorithm: Name of the outer update, or `module:Class`.
        config: Its options; the seed is replaced.
        seeds: The seeds.
        run_dir: Directory of the runs.
        kind: The kind of problem.
        or_resume: Whether existing runs with the same configuration are resumed.
        accept_numerics: Whether runs of another numerics version may be resumed.
        at_once: Number of seeds in one batch (default: all, if the algorithm supports a seed axis).
        log: Called with lines about the batches.
        display: Opens a progress display for each batch, whose callback receives the records.
        callbacks: Makes the callbacks of a run; called once for each seed.

    Yields:
        Run directory and outcome of each seed, when its batch ends.

    Raises:
        ConfigError: A seed is given twice, or an option is invalid.
        RunError, FamilyError: As in `train`.
    """
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"--seeds = {' '.join(map(str, seeds))}; expected each seed once")
    if at_once is not None and at_once < 1:
        raise ConfigError(f"--seeds-at-once = {at_once}; expected at least 1")
    index, size = place_of_launch()
    own = seeds[index::size]
    with use_ranks(ALONE):
        parts = assemble(algorithm, config, kind)
    together, why = _at_once(parts, at_once or max(len(own), 1))
    if len(own) > 1:
        log(f"{len(own)} seeds, {f'{together} at once' if together > 1 else 'one after another'}: {why}")
    with parts:
        for start in range(0, len(own), together):
            runs = {run_dir / f"seed-{seed}": parts.for_seed(seed) for seed in own[start : start + together]}
            with use_ranks(ALONE):
                outcomes = _train(runs, or_resume, accept_numerics, log, display, callbacks)
            yield from outcomes.items()
            if any(outcome.signal is not None for outcome in outcomes.values()):
                return


def _at_once(parts: Assembly, wanted: int) -> tuple[int, str]:
    """Number of seeds in one batch, at most `wanted`, and the reason."""
    if wanted == 1:
        return 1, "as --seeds-at-once says"
    if not getattr(importlib.import_module(parts.found.module), "SEEDS_AXIS", False):
        return 1, f"{parts.algorithm} has no axis for them"
    if parts.config.ordered_sums:
        return 1, "with --ordered-sums every task is computed alone"
    if getattr(parts.config, "workers", 0):
        return 1, "workers step the environments of one run"
    return wanted, "they are one batch"


def _train(
    runs: dict[Path, Assembly],
    or_resume: bool,
    accept_numerics: bool,
    log: Callable[[str], None],
    display: Callable[[], AbstractContextManager[Reporter | None]],
    callbacks: Callable[[], Callbacks],
) -> dict[Path, Outcome]:
    """Train runs in one batch, or in one batch for each iteration that runs are resumed from."""
    for run, parts in runs.items():
        if not is_there(run, or_resume):
            check_free(run, parts.kind)
    found: dict[Path, Outcome] = {}
    with ExitStack() as held:
        waiting = {
            run: held.enter_context(opened(parts, run, or_resume, accept_numerics, len(runs), callbacks()))
            for run, parts in runs.items()
        }
        while waiting:
            iteration = min(training.iteration for training in waiting.values())
            group = {run: training for run, training in waiting.items() if training.iteration == iteration}
            if len(group) < len(runs):
                names = ", ".join(run.name for run in group)
                log(f"{names}: from iteration {iteration}, apart from the seeds that stand at another")
            with display() as report:
                found |= zip(group, run_together(list(group.values()), report), strict=True)
            waiting = {run: training for run, training in waiting.items() if run not in group}
            if any(outcome.signal is not None for outcome in found.values()):
                break
    return {run: found[run] for run in runs if run in found}


Fault = Divergence | EnvironmentFault


def run_together(trainings: list[Training], report: Reporter | None = None) -> list[Outcome]:
    """Train several runs in one batch to their end, as `Training.run` trains one.

    Each run agrees with a run of its seed alone up to rounding. The seconds in its metrics are those of the batch. A
    run that fails ends with its error, one that early stopping or a callback ends is saved, and the others continue.

    Args:
        trainings: Runs at the same iteration whose configurations differ only in the seed.
        report: Called with the records of the first run that has not failed.

    Returns:
        The outcome of each run.
    """
    faults: dict[int, Fault] = {}
    ended: dict[int, Outcome] = {}
    total = trainings[0].config.iterations
    with ExitStack() as held, StopSignals() as stop:

        def still_going(these: Iterable[Training]) -> list[Training]:
            going = []
            for training in these:
                if training.stops():
                    ended[id(training)] = training.ended(None)  # saved at once, while the others go on
                else:
                    going.append(training)
            return going

        problem = trainings[0].setup.problem(training=True)
        held.callback(problem.close)
        for training in trainings:
            training.note_co_seeds(len(trainings) - 1)
            held.enter_context(training.recording(total))
        going = still_going(trainings)
        while going and going[0].iteration < total and not stop.anywhere():
            for training in going:
                training.co_seeds = len(going) - 1
            records = []
            for training, found in zip(going, _iterate(going, problem), strict=True):
                if isinstance(found, Fault):
                    faults[id(training)] = found
                    continue
                records.append(training.record(found))
                if training.due(total) and not stop.anywhere():
                    training.save()
            going = still_going(training for training in going if id(training) not in faults)
            if report is not None and records:
                report(records[0])
        signal = stop.anywhere()
        outcomes = [
            training.failed(faults[id(training)])
            if id(training) in faults
            else ended.get(id(training)) or training.ended(signal)
            for training in trainings
        ]
    # A callback may have raised at the end.
    return [replace(o, error=o.error or t.callbacks.fault) for o, t in zip(outcomes, trainings, strict=True)]


def _iterate(going: list[Training], problem: ClosableProblem) -> list[dict[str, Any] | Fault]:
    """One meta-iteration of every run; its metrics, or its fault, for each run."""
    if len(going) == 1:
        return [_or_fault(going[0].iterate)]
    try:
        steps = _step_together(going, problem)
    except (Divergence, EnvironmentFault):
        # At least one run is at fault. Single steps show which, and give the same result for the others.
        return [_or_fault(training.iterate) for training in going]
    return [_or_fault(partial(training.accept, *step)) for training, step in zip(going, steps, strict=True)]


def _step_together(going: list[Training], problem: ClosableProblem) -> list[tuple[State, dict[str, Any]]]:
    """The algorithm's step of all runs in one batch; new state and metrics of each run."""
    tasks, keys, progress = zip(*(training.next_step() for training in going), strict=True)
    first = going[0]
    with use_seed_axis(len(going)):
        state, metrics = first.module.meta_step(
            stacked([training.state for training in going]),
            problem,
            join_tasks(tasks),
            replace(keys[0], co_seeds=keys[1:]),
            first.parts.adapter_at(first.iteration + 1),
            first.config,
            progress[0],
        )

    def measured(seed: int) -> dict[str, Any]:
        return tree_map(metrics, lambda values: values[seed].tolist())  # type: ignore[no-any-return]

    return [(state_of(state, i), measured(i)) for i in range(len(going))]


def _or_fault(step: Callable[[], dict[str, Any]]) -> dict[str, Any] | Fault:
    try:
        return step()
    except (Divergence, EnvironmentFault) as fault:
        return fault

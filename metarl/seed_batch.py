"""Several runs of one configuration, with a seed each, that stand at the same iteration: trained as one batch.

The tasks of all are one meta-batch, theta has a leading axis of seeds (`metarl.seeds_axis`), and the algorithm's step
is that of a single run. Each run keeps its own state, directory and fate.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

from metarl.errors import Divergence, EnvironmentFault
from metarl.outer import each
from metarl.seeds_axis import side_by_side, stacked, state_of
from metarl.stop_signals import StopSignals
from metarl.tasks import join_tasks
from metarl.training import Outcome, Reporter, Training
from metarl.types import State
from metarl.workload import HeldProblem

Fault = Divergence | EnvironmentFault


def run_together(trainings: list[Training], report: Reporter | None = None) -> list[Outcome]:
    """Iterate all runs to their end as `Training.run` does one; a run that cannot go on ends, and the others do not.

    Each agrees with the run that its seed makes alone but for rounding. The seconds in its metrics are the batch's.
    `report` is called with the records of the first run that is still going.
    """
    faults: dict[int, Fault] = {}
    total = trainings[0].config.iterations
    with ExitStack() as held, StopSignals() as stop:
        problem = trainings[0].workload.problem(training=True)
        held.callback(problem.close)
        for training in trainings:
            training.goes_on_beside(len(trainings) - 1)
            held.enter_context(training.recording())
        going = list(trainings)
        while going and going[0].iteration < total and not stop.anywhere():
            for training in going:
                training.beside = len(going) - 1
            records = []
            for training, found in zip(going, _iterate(going, problem), strict=True):
                if isinstance(found, Fault):
                    faults[id(training)] = found
                    continue
                records.append(training.record(found))
                if training.due(total) and not stop.anywhere():
                    training.save()
            going = [training for training in going if id(training) not in faults]
            if report is not None and records:
                report(records[0])
        signal = stop.anywhere()
        return [
            Outcome(training.iteration, error=faults[id(training)])
            if id(training) in faults
            else training.ended(signal)
            for training in trainings
        ]


def _iterate(going: list[Training], problem: HeldProblem) -> list[dict[str, Any] | Fault]:
    """One meta-iteration of every run: what it measured, or why it cannot go on."""
    if len(going) == 1:
        return [_or_fault(going[0].iterate)]
    try:
        steps = _step_together(going, problem)
    except (Divergence, EnvironmentFault):
        # One of them is at fault, perhaps several: by itself each shows, and the others' steps are the same.
        return [_or_fault(training.iterate) for training in going]
    return [_or_fault(partial(training.accept, *step)) for training, step in zip(going, steps, strict=True)]


def _step_together(going: list[Training], problem: HeldProblem) -> list[tuple[State, dict[str, Any]]]:
    """The algorithm's step of all runs at once: each one's new state and metrics."""
    tasks, keys, progress = zip(*(training.next_step() for training in going), strict=True)
    first = going[0]
    with side_by_side(len(going)):
        state, metrics = first.module.meta_step(
            stacked([training.state for training in going]),
            problem,
            join_tasks(tasks),
            replace(keys[0], beside=keys[1:]),
            first.rule,
            first.config,
            progress[0],
        )

    def measured(seed: int) -> dict[str, Any]:
        return each(metrics, lambda values: values[seed].tolist())  # type: ignore[no-any-return]

    return [(state_of(state, i), measured(i)) for i in range(len(going))]


def _or_fault(step: Callable[[], dict[str, Any]]) -> dict[str, Any] | Fault:
    try:
        return step()
    except (Divergence, EnvironmentFault) as fault:
        return fault

"""What a report measures: the comparison of its runs on held-out tasks, in and out of distribution, nothing twice."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metarl.config.commands import ReportOptions
from metarl.core.errors import ConfigError, RunError
from metarl.evaluation.comparison import Method, compare, methods_of
from metarl.evaluation.evaluate import Progress, evaluate_run
from metarl.evaluation.references import measured_tasks
from metarl.families.family import TaskFamily
from metarl.families.tasks import Tasks
from metarl.rl.setup import build_family
from metarl.runs.sources import naming_source

IN_DISTRIBUTION = "meta-test"
OUT_OF_DISTRIBUTION = "out-of-distribution"


@dataclass(frozen=True)
class Measured:
    """Everything that was measured for a report."""

    methods: list[Method]
    family: TaskFamily
    inside: dict[str, Any]
    """Comparison on meta-test tasks, as `metarl compare --json` writes it."""
    outside: dict[str, Any] | None
    """The same on out-of-distribution tasks; None if the family has no such split."""
    results: dict[str, list[dict[str, Any]]]
    """Evaluations on meta-test tasks by method, one a training seed."""
    tasks: Tasks
    """The meta-test tasks."""
    warnings: list[str]
    """Warnings that were raised meanwhile."""

    def method(self, label: str) -> Method:
        """The method of a label."""
        return next(method for method in self.methods if method.label == label)


class Evaluations:
    """`evaluate_run` that keeps its results, so that the same question is computed once.

    Args:
        progress: Called with the number of measured points and the number of all points.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._kept: dict[tuple[Any, ...], dict[str, Any]] = {}

    def __call__(self, run: Path, **options: Any) -> dict[str, Any]:
        """The evaluation of a run with these options."""
        key = (run, *sorted(options.items()))
        if key not in self._kept:
            self._kept[key] = evaluate_run(run, progress=self._progress, **options)
        return self._kept[key]

    def of(self, run: Path, split: str, initialisation: str) -> dict[str, Any]:
        """The evaluation that was made of a run on a split."""
        for (where, *_), result in self._kept.items():
            if (where, result["split"], result["initialisation"]) == (run, split, initialisation):
                return result
        raise KeyError((run, split, initialisation))


def check_runs(runs: Sequence[Path]) -> None:
    """Check that there is a run, and none twice.

    Args:
        runs: The run directories.

    Raises:
        ConfigError: There is none.
        RunError: A run is given twice, and would count as two seeds.
    """
    if not runs:
        raise ConfigError("missing: RUN [RUN ...] Run directories.")
    seen: set[Path] = set()
    for run in runs:
        if run.resolve() in seen:
            raise RunError(f"{run}: given twice; expected each run once, since each counts as a training seed")
        seen.add(run.resolve())


def measure(
    options: ReportOptions,
    progress: Progress = lambda done, total: None,
    log: Callable[[str], None] = lambda line: None,
) -> Measured:
    """Compare the runs on meta-test tasks, and on out-of-distribution tasks where the family has them.

    Args:
        options: Runs and budget.
        progress: Called with the number of measured points and the number of all points of one evaluation.
        log: Called with a line about each learning rate that is tried.

    Raises:
        ConfigError: An option is invalid, or the runs are about different families.
        RunError: A directory is no run, or its checkpoints are damaged.
    """
    check_runs(options.runs)
    evaluate = Evaluations(progress)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        methods = methods_of(options.runs, scratch=options.scratch)
        first = methods[0]
        with naming_source(first.runs[0], first.config.task_name()[0]):
            family = build_family(first.config)  # type: ignore[arg-type]
        splits = [split for split in (IN_DISTRIBUTION, OUT_OF_DISTRIBUTION) if split in family.splits.names]
        found = {
            split: compare(
                options.runs,
                split=split,
                tasks=options.tasks,
                episodes=options.episodes,
                steps=options.steps,
                seed=options.seed,
                choose_at=options.choose_at,
                scratch=options.scratch,
                evaluate=evaluate,
                log=log if split == IN_DISTRIBUTION else lambda line: None,
            )
            for split in splits
        }
    inside = found[IN_DISTRIBUTION]
    results = {
        method.label: [evaluate.of(run, IN_DISTRIBUTION, method.initialisation) for run in method.runs]
        for method in methods
    }
    return Measured(
        methods,
        family,
        inside,
        found.get(OUT_OF_DISTRIBUTION),
        results,
        measured_tasks(family, inside),
        [f"{warning.category.__name__}: {warning.message}" for warning in caught if _is_of_metarl(warning)],
    )


def _is_of_metarl(warning: warnings.WarningMessage) -> bool:
    """Whether the user can do something about a warning: not one about other packages' own code."""
    return not issubclass(warning.category, DeprecationWarning | PendingDeprecationWarning | ImportWarning)

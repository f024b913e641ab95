"""What a reader should know before trusting the numbers: divergence, harm, warnings, runs that are not finished."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from metarl.core.numbers import number_text
from metarl.report.history import History
from metarl.report.measure import Measured
from metarl.report.tasks import TaskScores
from metarl.runs.manifest import NUMERICS


class Note(NamedTuple):
    """One remark."""

    level: str
    """warning, or note."""
    text: str


def notes_of(
    measured: Measured, histories: Mapping[str, Sequence[History]], scores: Mapping[str, TaskScores]
) -> list[Note]:
    """All remarks, warnings first.

    Args:
        measured: What was measured.
        histories: Trainings of each method.
        scores: Scores of single tasks of each method.
    """
    found = [note for runs in histories.values() for run in runs for note in _of_run(run)]
    for label, of_method in scores.items():
        found += _of_tasks(label, measured.results[label], of_method)
    for label, runs in histories.items():
        if len(runs) == 1:
            found.append(Note("note", f"{label}: one training seed, so how much a seed matters is unknown."))
    found += _of_comparison(measured.inside, histories)
    found += [Note("warning", text) for text in dict.fromkeys(measured.warnings)]
    return sorted(found, key=lambda note: note.level != "warning")


def _of_run(run: History) -> list[Note]:
    where, found = str(run.run), []
    if run.state != "finished":
        found.append(Note("warning", f"{where}: {run.state} after {run.iteration:,} of {run.total:,} iterations."))
    found += [Note("warning", f"{error}; passed over.") for error in run.unreadable]
    unknown = int((run.after != run.after).sum())  # NaN, which differs from itself
    if unknown:
        found.append(Note("warning", f"{where}: {unknown:,} iterations recorded no return."))
    if run.unscored:
        what = "1 checkpoint has" if run.unscored == 1 else f"{run.unscored} checkpoints have"
        found.append(Note("warning", f"{where}: {what} no score on meta-validation tasks."))
    if run.rejected:
        share = run.rejected / len(run.used)
        text = f"{where}: the line search kept the old parameters in {run.rejected:,} iterations ({share:.0%})."
        found.append(Note("warning" if share > 0.1 else "note", text))
    numerics = run.manifest.get("numerics", 1)
    if numerics != NUMERICS:
        text = (
            f"{where}: trained by numerics version {numerics}; this metarl has {NUMERICS} and would make another run."
        )
        found.append(Note("warning", text))
    if str(run.manifest.get("commit") or "").endswith("-dirty"):
        found.append(Note("warning", f"{where}: trained from files that differ from their commit."))
    return found


def _of_tasks(label: str, results: Sequence[Mapping[str, Any]], scores: TaskScores) -> list[Note]:
    found = []
    diverged = sum(None in row for result in results for row in result["per_task"])
    if diverged:
        total = sum(len(result["per_task"]) for result in results)
        found.append(Note("warning", f"{label}: adaptation diverged on {diverged} of {total} tasks, over all seeds."))
    harmed, n = scores.harmed, len(scores.gain)
    if harmed:
        level = "warning" if harmed > n / 4 else "note"
        found.append(Note(level, f"{label}: adaptation harms {harmed} of {n} tasks, averaged over seeds."))
    return found


def _of_comparison(comparison: Mapping[str, Any], histories: Mapping[str, Sequence[History]]) -> list[Note]:
    found = []
    budgets = [float(run.used[-1]) for runs in histories.values() for run in runs]
    if budgets and max(budgets) > 1.05 * min(budgets):
        ends = f"{min(budgets) / 1e6:.2f}M to {max(budgets) / 1e6:.2f}M"
        found.append(Note("note", f"Training budgets differ: {ends} environment steps."))
    if comparison["splits"] == "shared":
        text = "Training and test tasks are the same, as published for this family: nothing here is about unseen tasks."
        found.append(Note("warning", text))
    for label, others in comparison["probability_of_improvement"].items():
        for other, probability in others.items():
            if probability["p"] >= 0.5 and (label < other or probability["p"] > 0.5):
                ends = "" if probability["low"] is None else f" [{probability['low']:.2f}, {probability['high']:.2f}]"
                text = f"P({label} beats {other} after the last step) = {number_text(probability['p'])}{ends}."
                found.append(Note("note", text))
    return found

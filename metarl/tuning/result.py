"""What a search found: a table of trials, the best options as a preset, and what was spent."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import tomli_w
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from metarl.config.run import RunConfig, option_name
from metarl.config.toml import to_mapping
from metarl.core.errors import RunError
from metarl.core.numbers import finite, number_text, write_json
from metarl.runs.durable import replace_file, writing
from metarl.tuning.space import with_values
from metarl.tuning.study import Study

PRESET = "preset.toml"
TABLE = "table.json"

ROWS = 10
"""Trials in the table on a terminal; the file has all."""

STATES = ("complete", "pruned", "diverged", "failed", "running")


def state_of(trial: FrozenTrial) -> str:
    """One of `STATES`."""
    if trial.user_attrs.get("diverged"):
        return "diverged"
    known = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
    return known.get(trial.state, "running")


def row_of(study: Study, trial: FrozenTrial) -> dict[str, Any]:
    """A trial as JSON."""
    by_seed = trial.user_attrs.get("scores")
    return {
        "trial": trial.number,
        "state": state_of(trial),
        "score": trial.value if trial.state == TrialState.COMPLETE else None,
        "worst_seed": min(by_seed) if by_seed else None,
        "scores": by_seed,
        "iteration": max(trial.intermediate_values, default=0),
        "options": {name: _plain(value) for name, value in study.values_of(trial).items()},
        "environment_steps": trial.user_attrs.get("environment_steps", 0),
        "seconds": trial.user_attrs.get("seconds", 0.0),
        "error": trial.user_attrs.get("error"),
    }


def results(study: Study, facts: dict[str, Any]) -> dict[str, Any]:
    """The result of a study so far, for JSON.

    Args:
        study: The study.
        facts: What identifies it, for the result: algorithm, family, seeds, what is measured.

    Raises:
        RunError: Every trial that ended failed; the message has the first one's error.
    """
    rows = [row_of(study, trial) for trial in study.trials]
    counts = Counter(row["state"] for row in rows)
    scored = [row for row in rows if row["score"] is not None]
    best = max(scored, key=lambda row: row["score"], default=None)
    if best is None and counts["diverged"] + counts["failed"] > 0 and not counts["running"]:
        number, error = next((row["trial"], row["error"]) for row in rows if row["error"])
        raise RunError(f"{study.place}: no trial of {len(rows)} has a score; trial {number}: {error}")
    edges = {}
    if best is not None:
        values = study.values_of(study.trials[best["trial"]])
        edges = {name: end for name, value in values.items() if (end := study.space[name].edge_of(value))}
    return finite(  # type: ignore[no-any-return]
        {
            **facts,
            "trials": len(rows),
            **{state: counts[state] for state in STATES},
            "space": {name: str(entry) for name, entry in study.space.items()},
            "best": best,
            "best_at_edge": edges,
            "environment_steps": sum(row["environment_steps"] for row in rows),
            "seconds": sum(row["seconds"] for row in rows),
            "rows": sorted(rows, key=lambda row: (row["score"] is None, -(row["score"] or 0.0), row["trial"])),
        }
    )


def write_results(result: dict[str, Any], study: Study, base: RunConfig, preset: Path, table: Path) -> None:
    """Write the table, and the best options as a preset if there are any.

    Args:
        result: As `results` returns it.
        study: The study.
        base: The configuration that was searched around.
        preset: TOML file for `metarl train --config`.
        table: JSON file.

    Raises:
        RunError: A file cannot be written.
    """
    write_json(table, result)
    if result["best"] is None:
        return
    values = study.values_of(study.trials[result["best"]["trial"]])
    mapping = to_mapping(with_values(base, values))
    for name in ("seed", *(("family", "variant") if str(mapping.get("family")).startswith("<") else ())):
        mapping.pop(name, None)
    best = result["best"]
    comment = (
        f"# The best of {result['trials']} trials of `metarl tune`, with {len(result['seeds'])} seeds each: "
        f"{number_text(best['score'])} on meta-validation tasks.\n# Searched: {', '.join(study.space)}.\n"
    )
    with writing(preset):
        preset.parent.mkdir(parents=True, exist_ok=True)
        replace_file(preset, comment + tomli_w.dumps({"algorithm": result["algorithm"], **mapping}))


def print_results(result: dict[str, Any]) -> None:
    """The best trials, how many there were of which kind, and options whose best value is at the edge of its range."""
    names = list(result["space"])
    seeds = ", ".join(map(str, result["seeds"]))
    table = Table(
        title=f"{result['algorithm']} on {' '.join(filter(None, (result['family'], result['variant'])))}: "
        f"{result['trials']} trials, seeds {seeds}",
        caption=result["score"],
        caption_justify="left",
    )
    for column in ("trial", "", "score", "worst seed", *names):
        table.add_column(column, justify="left" if column == "" else "right")
    for row in result["rows"][:ROWS]:
        state = "" if row["state"] == "complete" else row["state"]
        if row["state"] == "pruned":
            state = f"pruned at {row['iteration']}"
        complete = row["state"] == "complete"
        scores = (number_text(row[name] if complete else None) for name in ("score", "worst_seed"))
        options = (escape(shown(row["options"].get(name))) for name in names)
        table.add_row(str(row["trial"]), state, *scores, *options)
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    counts = ", ".join(f"{result[state]} {state}" for state in STATES if result[state])
    spent = f"{result['environment_steps'] / 1e6:.1f}M environment steps, {result['seconds'] / 60:.1f} minutes"
    more = f"; {result['trials'] - ROWS} trials more in the file" if result["trials"] > ROWS else ""
    console.print(f"{counts}; {spent} of training{more}", highlight=False)
    for name, end in result["best_at_edge"].items():
        edge = f"{'lower' if end == 'low' else 'upper'} edge of {result['space'][name]}"
        text = f"{name}: the best value is at the {edge}; a wider range may hold a better one"
        console.print(text, markup=False, highlight=False)
    if result["best"] is not None and not result["best_at_edge"]:
        console.print("no best value is at an edge of its range", highlight=False)
    failed = next((row for row in result["rows"] if row["error"]), None)
    if failed is not None:
        console.print(f"trial {failed['trial']} {failed['state']}: {failed['error']}", markup=False, highlight=False)


def line_of(row: dict[str, Any]) -> str:
    """One line about a trial that ended."""
    options = ", ".join(f"{option_name(name)} {shown(value)}" for name, value in row["options"].items())
    if row["state"] == "complete":
        end = f"{number_text(row['score'])}, worst seed {number_text(row['worst_seed'])}"
    elif row["state"] == "pruned":
        end = f"pruned at iteration {row['iteration']}"
    else:
        end = f"{row['state']}: {row['error']}"
    return f"trial {row['trial']}: {options}: {end}"


def shown(value: Any) -> str:
    """An option's value in a table."""
    if isinstance(value, list):
        return "x".join(map(str, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value

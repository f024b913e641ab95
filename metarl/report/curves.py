"""Figures of learning, adaptation, extrapolation and time: a line or a bar a method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metarl.core.numbers import number_text, words
from metarl.report.history import History, mean_over_seeds, thinned
from metarl.report.style import GREY, Figure, Plot, Style, Table, axes, band, line, rounded, style_of

PHASE_COLOURS = ("#0072B2", "#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#F0E442", "#404040")
TEXT_ON_PHASE = ("white", "black", "black", "white", "black", "white", "black", "white")


STEP = "adaptation step"
EPISODE = "episode of the trial, from 0"
EITHER = "adaptation step, or episode of a trial"
"""What a step is called: of gradient steps, of memory, and of both in one plot."""


def interval_text(curve: Mapping[str, Any], point: int, name: str = "ci95") -> str:
    """An interval in brackets; empty where there is none."""
    low, high = curve[f"{name}_low"][point], curve[f"{name}_high"][point]
    return "" if low is None else f"[{number_text(low)}, {number_text(high)}]"


def learning_figure(histories: Mapping[str, Sequence[History]]) -> Figure:
    """Returns while training, and scores of the checkpoints on meta-validation tasks, against environment steps."""
    training: list[dict[str, Any]] = []
    checkpoints: list[dict[str, Any]] = []
    rows, sentences = [], []
    for number, (label, runs) in enumerate(histories.items()):
        style = style_of(number)
        used = thinned(mean_over_seeds([run.used for run in runs]))
        after, before = (mean_over_seeds([getattr(run, name) for run in runs]) for name in ("after", "before"))
        for run in runs if len(runs) > 1 else ():
            training.append(_thin_line(thinned(run.used), thinned(run.after), style))
        hover = "%{x:.3s} steps: %{y:.2f}"
        training.append(line(rounded(used), thinned(after), style, label, hover=hover, markers=False))
        if not np.array_equal(before, after, equal_nan=True):
            dotted = {"color": style.colour, "dash": "dot", "width": 1.75}
            name = f"{label}, before adaptation"
            training.append(line(rounded(used), thinned(before), style, name, hover=hover, markers=False, line=dotted))
        checkpoints += _validation(runs, style, label)
        rows += [_learning_row(label, run) for run in runs]
        first, last = (float(np.nanmean(part)) for part in (after[: max(len(after) // 20, 1)], _end(after)))
        sentences.append(f"{label}: return after adaptation from {number_text(first)} to {number_text(last)}")
    x = "environment steps of training"
    ticks = {"tickformat": "~s", "rangemode": "tozero"}
    plots = [Plot("Training tasks", training, axes(x, "return", xaxis=ticks))]
    if checkpoints:
        layout = axes(x, "return after adaptation", xaxis=ticks, legend=len(histories) > 1)
        plots.append(Plot("Meta-validation tasks, at the checkpoints", checkpoints, layout))
    caption = f"{'; '.join(sentences)} (averages of the first and the last twentieth of the iterations)."
    if any(len(runs) > 1 for runs in histories.values()):
        caption += " Bold: mean over seeds; thin: each seed."
    if any(len({run.iteration for run in runs}) > 1 for runs in histories.values()):
        caption += " A mean ends where the shortest run of its method ends."
    columns = ("method", "seed", "iterations", "environment steps", "first return", "last return", "validation score")
    return Figure("learning", plots, caption, Table(columns, rows))


def _end(values: np.ndarray) -> np.ndarray:
    return values[-max(len(values) // 20, 1) :]


def _thin_line(x: np.ndarray, y: np.ndarray, style: Style) -> dict[str, Any]:
    thin = {"color": style.colour, "width": 1}
    return {
        "type": "scatter", "x": rounded(x), "y": rounded(y), "mode": "lines", "line": thin, "opacity": 0.35,
        "hoverinfo": "skip", "showlegend": False,
    }  # fmt: skip


def _validation(runs: Sequence[History], style: Style, label: str) -> list[dict[str, Any]]:
    traces = []
    for place, run in enumerate(runs):
        if run.validation:
            x, y = zip(*run.validation, strict=True)
            hover = f"{run.run.name}, %{{x:.3s}} steps: %{{y:.2f}}"
            traces.append(line(x, y, style, label, hover=hover, showlegend=place == 0, legendgroup=label))
    return traces


def _learning_row(label: str, run: History) -> list[str]:
    score = number_text(run.validation[-1][1]) if run.validation else "-"
    known = rounded([run.after[0], run.after[-1]], 8)
    name = run.run.name
    return [label, name, f"{run.iteration:,}", f"{int(run.used[-1]):,}", *map(number_text, known), score]


def adaptation_figure(comparison: Mapping[str, Any], step: str = STEP) -> Figure:
    """Score against adaptation steps and against environment steps of a new task, with intervals and the worst seed.

    Args:
        comparison: Result of a comparison.
        step: What a step of these methods is called.
    """
    measure, average, unit = (comparison[name] for name in ("measure", "average", "unit"))
    score = f"{words(measure)}, {'IQM' if average == 'iqm' else 'mean'} over tasks"
    steps, used, success = [], [], []
    rows, sentences = [], []
    for number, entry in enumerate(comparison["methods"]):
        style, curve, label = style_of(number), entry[measure], entry["label"]
        places = list(range(len(curve["mean"])))
        data = entry[f"adaptation_{unit}"]
        steps += curve_traces(places, curve, average, style, label, "step %{x}")
        used += curve_traces(data, curve, average, style, label, "%{x:,} steps")
        if "success" in entry:
            success += curve_traces(places, entry["success"], "mean", style, label, "step %{x}")
        rows += [
            [
                label,
                str(k),
                f"{data[k]:,}",
                number_text(curve[average][k]),
                interval_text(curve, k) or "-",
                interval_text(curve, k, "new_tasks") or "-",
                number_text(curve["seed_sd"][k]),
                number_text(curve["worst_seed"][k]),
                *([number_text(entry["success"]["mean"][k])] if "success" in entry else []),
            ]
            for k in places
        ]
        sentences.append(_adapted(label, curve, average, data))
    several = len(comparison["methods"]) > 1
    whole = {"dtick": 1} if comparison["steps"] <= 12 else {}
    plots = [
        Plot("Against adaptation steps", steps, axes(step, score, legend=several, xaxis=whole)),
        Plot(
            "Against data of the new task",
            used,
            axes(f"{words(unit)} of the new task", score, legend=several, xaxis={"tickformat": "~s"}),
        ),
    ]
    columns = [
        "method",
        "step",
        words(unit),
        words(measure),
        "95 % interval",
        "for new tasks",
        "sd over seeds",
        "worst seed",
    ]
    if success:
        bounds = {"range": [-0.02, 1.02]}
        layout = axes(step, "success rate (mean over tasks)", legend=several, xaxis=whole, yaxis=bounds)
        plots.append(Plot("Success rate", success, layout))
        columns.append("success")
    kinds = dict.fromkeys(entry[measure]["interval"] for entry in comparison["methods"])
    caption = f"{' '.join(sentences)} Bands: 95 % interval {' or '.join(kinds)}."
    if average == "iqm":
        caption += " IQM: interquartile mean."
    if any(entry[measure]["worst_seed"][0] is not None for entry in comparison["methods"]):
        caption += " Thin dotted lines: the worst seed."
    return Figure("adaptation", plots, caption, Table(columns, rows), across=len(plots))


def curve_traces(
    x: Sequence[Any], curve: Mapping[str, Any], average: str, style: Style, label: str, where: str, **changes: Any
) -> list[dict[str, Any]]:
    """A curve with its band, and a thin line of the worst seed where there are several.

    Args:
        x: Place of each point.
        curve: Statistics of the scores, as `metarl compare --json` has them.
        average: Name of the average.
        style: Style of the method.
        label: Name in the legend.
        where: The place in words, shown beside the pointer.
        **changes: Further entries of the line's trace.
    """
    texts = [interval_text(curve, k) for k in range(len(curve["mean"]))]
    hover = f"{where}: %{{y:.2f}} %{{customdata}}"
    traces = band(x, curve["ci95_low"], curve["ci95_high"], style)
    if curve["worst_seed"][0] is not None:
        thin = {"color": style.colour, "dash": "dot", "width": 1.25}
        worst = f"{where}, worst seed: %{{y:.2f}}"
        traces.append(
            line(x, curve["worst_seed"], style, label, hover=worst, markers=False, line=thin, showlegend=False)
        )
    return [*traces, line(x, curve[average], style, label, hover=hover, customdata=texts, **changes)]


def _adapted(label: str, curve: Mapping[str, Any], average: str, used: Sequence[int]) -> str:
    values, last = curve[average], len(used) - 1
    text = f"{label}: from {number_text(values[0])} before adaptation"
    if last >= 1:
        text += f" to {number_text(values[1])} {interval_text(curve, 1)} after one step ({used[1]:,} environment steps)"
    if last >= 2:
        text += f" and {number_text(values[last])} {interval_text(curve, last)} after {last}"
    worst = curve["worst_seed"][last]
    return text + (f"; worst seed {number_text(worst)}." if worst is not None else ".")


def extrapolation_figure(inside: Mapping[str, Any], outside: Mapping[str, Any], step: str = STEP) -> Figure:
    """In-distribution and out-of-distribution tasks beside each other, a plot a method, on the same scale.

    Args:
        inside: Comparison on tasks of the training distribution.
        outside: Comparison on out-of-distribution tasks.
        step: What a step of these methods is called.
    """
    measure, average = inside["measure"], inside["average"]
    plots, rows, sentences = [], [], []
    for number, (near, far) in enumerate(zip(inside["methods"], outside["methods"], strict=True)):
        style = style_of(number)
        places = list(range(len(near[measure]["mean"])))
        other = Style(GREY, "dash", "diamond-open")
        traces = [
            *curve_traces(places, near[measure], average, style, "in distribution", "step %{x}"),
            *curve_traces(places, far[measure], average, other, "out of distribution", "step %{x}"),
        ]
        whole = {"dtick": 1} if len(places) <= 12 else {}
        plots.append(Plot(near["label"], traces, axes(step, words(measure), xaxis=whole)))
        for kind, entry in (("in", near), ("out", far)):
            curve = entry[measure]
            rows += [
                [near["label"], kind, str(k), number_text(curve[average][k]), interval_text(curve, k) or "-"]
                for k in places
            ]
        gains = [_gain(entry[measure][average]) for entry in (near, far)]
        sentences.append(
            f"{near['label']} gains {gains[0]} in distribution and {gains[1]} out of it, where it ends at "
            f"{number_text(far[measure][average][-1])} {interval_text(far[measure], -1)}."
        )
    columns = ("method", "distribution", "step", words(measure), "95 % interval")
    return Figure("extrapolation", _on_one_scale(plots), " ".join(sentences), Table(columns, rows))


def _gain(values: Sequence[float | None]) -> str:
    first, last = values[0], values[-1]
    return "an unknown amount" if first is None or last is None else number_text(last - first)


def _on_one_scale(plots: list[Plot]) -> list[Plot]:
    """The plots with the same range of the vertical axis."""
    values = [v for plot in plots for trace in plot.traces for v in trace["y"] if v is not None]
    if values:
        room = 0.05 * (max(values) - min(values) or 1)
        for plot in plots:
            plot.layout["yaxis"]["range"] = rounded([min(values) - room, max(values) + room])
    return plots


def time_figure(histories: Mapping[str, Sequence[History]]) -> Figure:
    """Seconds of each phase in a meta-iteration, averaged over iterations and seeds: a bar a method."""
    labels = list(histories)
    names = list(dict.fromkeys(name for runs in histories.values() for run in runs for name in run.phases))
    means = {
        label: {name: float(np.mean([run.phases.get(name, 0.0) / run.iteration for run in runs])) for name in names}
        for label, runs in histories.items()
    }
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "name": words(name),
            "y": labels,
            "x": rounded([means[label][name] for label in labels]),
            "marker": {
                "color": PHASE_COLOURS[place % len(PHASE_COLOURS)],
                "line": {"color": "white", "width": 1},
            },
            "text": [words(name)] * len(labels),
            "textposition": "inside",
            "insidetextanchor": "middle",
            "textangle": 0,
            "textfont": {"color": TEXT_ON_PHASE[place % len(TEXT_ON_PHASE)]},
            "hovertemplate": f"{words(name)}: %{{x:.3f}} s<extra>%{{y}}</extra>",
        }
        for place, name in enumerate(names)
    ]
    layout = axes(
        "seconds per meta-iteration", "", 130 + 44 * len(labels), barmode="stack", bargap=0.35,
        yaxis={"autorange": "reversed", "ticks": "", "showgrid": False},
    )  # fmt: skip
    layout["legend"]["traceorder"] = "normal"
    sentences = []
    for label, runs in histories.items():
        total = sum(means[label].values())
        wall = np.mean([run.wall_seconds for run in runs])
        slowest = max(names, key=lambda name: means[label][name], default="")
        share = means[label].get(slowest, 0.0) / total if total else 0.0
        sentences.append(
            f"{label}: {duration(float(wall))} a run, {number_text(total)} s an iteration, of which "
            f"{words(slowest)} takes {share:.0%}."
        )
    rows = [[label, *(number_text(means[label][name]) for name in names)] for label in labels]
    table = Table(("method", *(f"{words(name)} (s)" for name in names)), rows)
    return Figure("time", [Plot("Seconds per meta-iteration, by phase", traces, layout)], " ".join(sentences), table)


def duration(seconds: float) -> str:
    """A time in the largest fitting units.

    Example:
        >>> duration(42), duration(312), duration(7300)
        ('42 s', '5 min', '2 h 2 min')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"

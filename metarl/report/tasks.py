"""Figures of single tasks: return before and after adaptation over the parameters of the task, and episodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metarl.core.numbers import number_text, words
from metarl.evaluation.statistics import distinct_tasks, table_of
from metarl.families.tasks import Tasks
from metarl.report.episodes import Shown
from metarl.report.style import (
    GAIN_SCALE,
    GREY,
    INK,
    RETURN_SCALE,
    Figure,
    Plot,
    Style,
    Table,
    axes,
    rounded,
    style_of,
)

MOST_PARAMETERS = 6
"""Task parameters that have a plot of their own; families with more have the scatter alone."""


def parameters(tasks: Tasks) -> dict[str, np.ndarray]:
    """Each scalar of the tasks by name, with one value a task.

    Example:
        >>> sorted(parameters({"goal": np.zeros((5, 2)), "wind": np.ones(5)}))
        ['goal[0]', 'goal[1]', 'wind']
    """
    found: dict[str, np.ndarray] = {}
    for name, values in tasks.items():
        flat = np.asarray(values, float).reshape(len(values), -1)
        for column in range(flat.shape[1]):
            found[name if flat.shape[1] == 1 else f"{name}[{column}]"] = flat[:, column]
    return found


class TaskScores:
    """Scores of the distinct tasks of a method before and after adaptation, averaged over seeds.

    Args:
        results: Evaluations of the method, one a seed.
        tasks: The tasks, as they were measured.
    """

    def __init__(self, results: Sequence[Mapping[str, Any]], tasks: Tasks) -> None:
        ids = results[0]["task_ids"]
        scores = distinct_tasks(table_of(results, "per_task"), ids).mean(0)
        self.before, self.after = scores[:, 0], scores[:, -1]
        first = [ids.index(task) for task in sorted(set(ids))]
        self.parameters = {name: values[first] for name, values in parameters(tasks).items()}

    @property
    def gain(self) -> np.ndarray:
        """Score after less score before; NaN where a task diverged in a seed."""
        return self.after - self.before

    @property
    def harmed(self) -> int:
        """Tasks whose score falls, diverged ones included."""
        return int((~(self.gain >= 0)).sum())

    def task(self, index: int) -> str:
        """A task in words; empty where it has many parameters."""
        if len(self.parameters) > MOST_PARAMETERS:
            return f"task {index}"
        return ", ".join(f"{name} = {values[index]:.3g}" for name, values in self.parameters.items())


def tasks_figures(scores: Mapping[str, TaskScores], measure: str) -> list[Figure]:
    """Before against after for all methods, and for each method the scores over the task parameters."""
    everything = _scatter(scores, measure)
    return [everything, *(f for n, (label, s) in enumerate(scores.items()) for f in _over(n, label, s, measure))]


def _scatter(scores: Mapping[str, TaskScores], measure: str) -> Figure:
    known = np.concatenate([v[np.isfinite(v)] for s in scores.values() for v in (s.before, s.after)])
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    room = 0.05 * (high - low or 1)
    ends = rounded([low - room, high + room])
    diagonal = {
        "type": "scatter", "x": ends, "y": ends, "mode": "lines", "hoverinfo": "skip", "showlegend": False,
        "line": {"color": GREY, "width": 1.25, "dash": "dash"},
    }  # fmt: skip
    traces, sentences, rows = [diagonal], [], []
    for number, (label, found) in enumerate(scores.items()):
        style = style_of(number)
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": label,
                "x": rounded(found.before),
                "y": rounded(found.after),
                "text": [found.task(i) for i in range(len(found.before))],
                "marker": {"symbol": style.marker, "size": 8, "color": style.faint(0.75),
                           "line": {"color": style.colour, "width": 1}},
                "hovertemplate": "%{text}<br>%{x:.2f} to %{y:.2f}<extra>" + label + "</extra>",
            }
        )  # fmt: skip
        sentences.append(_helps(label, found))
        for i in range(len(found.before)):
            cells = rounded([found.before[i], found.after[i], found.gain[i]], 8)
            rows.append([label, found.task(i), *map(number_text, cells)])
    name = words(measure)
    note = {"text": "below the line: harmed", "x": 0.98, "y": 0.02, "xref": "paper", "yref": "paper",
            "showarrow": False, "xanchor": "right", "yanchor": "bottom",
            "font": {"color": GREY, "size": 12}}  # fmt: skip
    layout = axes(
        f"{name} before adaptation", f"{name} after adaptation", 400, legend=len(scores) > 1,
        xaxis={"range": ends}, yaxis={"range": ends}, annotations=[note],
    )  # fmt: skip
    plot = Plot("Each task before and after adaptation", traces, layout)
    table = Table(("method", "task", "before", "after", "gain"), rows)
    return Figure("tasks", [plot], f"{' '.join(sentences)} Scores are averages over seeds.", table, across=1)


def _helps(label: str, found: TaskScores) -> str:
    n, gain = len(found.before), found.gain
    text = f"{label}: adaptation helps on {n - found.harmed} of {n} tasks"
    if np.isfinite(gain).any():
        best, worst = int(np.nanargmax(gain)), int(np.nanargmin(gain))
        text += f"; most at {found.task(best)} ({gain[best]:+.3g})"
        way = "harms most" if gain[worst] < 0 else "least"
        text += f", {way} at {found.task(worst)} ({gain[worst]:+.3g})"
    diverged = int((~np.isfinite(gain)).sum())
    return text + (f"; {diverged} diverged." if diverged else ".")


def _over(number: int, label: str, found: TaskScores, measure: str) -> list[Figure]:
    varied = {name: values for name, values in found.parameters.items() if np.ptp(values) > 0}
    if not 1 <= len(varied) <= MOST_PARAMETERS:
        return []
    name = f"parameters-{number}"
    if len(varied) == 2:
        return [Figure(name, _maps(varied, found, measure), _where(label, varied, found), title=label, across=3)]
    plots = [_dumbbells(style_of(number), parameter, values, found, measure) for parameter, values in varied.items()]
    return [Figure(name, plots, _where(label, varied, found), title=label, across=min(len(plots), 3))]


def _where(label: str, varied: Mapping[str, np.ndarray], found: TaskScores) -> str:
    """How the gain goes with each parameter: its rank correlation, over tasks that did not diverge."""
    known = np.isfinite(found.gain)
    if known.sum() < 3:
        return f"{label}: too few tasks to say where adaptation helps."
    parts = []
    for name, values in varied.items():
        parts += [(name, _rank_correlation(values[known], found.gain[known]))]
        if values.min() < 0 < values.max():
            parts += [(f"|{name}|", _rank_correlation(np.abs(values[known]), found.gain[known]))]
    text = ", ".join(f"{name} {value:+.2f}" for name, value in parts if np.isfinite(value))
    return f"{label}: rank correlation of the gain with {text}. {found.harmed} of {len(known)} tasks are harmed."


def _rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    from scipy.stats import rankdata

    ranks = rankdata(a), rankdata(b)
    spread = ranks[0].std() * ranks[1].std()
    return float(np.mean((ranks[0] - ranks[0].mean()) * (ranks[1] - ranks[1].mean())) / spread) if spread else np.nan


def _maps(varied: Mapping[str, np.ndarray], found: TaskScores, measure: str) -> list[Plot]:
    """Maps of a family with two parameters: score before, score after, gain."""
    (x_name, x), (y_name, y) = varied.items()
    known = np.concatenate([found.before, found.after])
    ends = (float(np.nanmin(known)), float(np.nanmax(known))) if np.isfinite(known).any() else (0.0, 1.0)
    largest = float(np.nanmax(np.abs(found.gain))) if np.isfinite(found.gain).any() else 1.0
    name = words(measure)
    plots = []
    for title, values, scale, low, high in (
        (f"{name.capitalize()} before", found.before, RETURN_SCALE, *ends),
        (f"{name.capitalize()} after", found.after, RETURN_SCALE, *ends),
        ("Gain", found.gain, GAIN_SCALE, -largest, largest),
    ):
        harmed = ~(found.gain >= 0)
        marker = {
            "color": rounded(values),
            "colorscale": scale,
            "cmin": low,
            "cmax": high,
            "size": 11,
            "symbol": ["triangle-down" if bad else "circle" for bad in harmed],
            "line": {"color": "#4b5563", "width": 1},
            "colorbar": {"thickness": 10, "outlinewidth": 0, "len": 1, "xpad": 4, "tickfont": {"size": 11}},
        }
        trace = {
            "type": "scatter", "mode": "markers", "x": rounded(x), "y": rounded(y), "marker": marker,
            "customdata": rounded(values), "hovertemplate": "(%{x:.3g}, %{y:.3g}): %{customdata:.2f}<extra></extra>",
        }  # fmt: skip
        same = {"scaleanchor": "x"} if x_name.split("[")[0] == y_name.split("[")[0] else {}
        plots.append(Plot(title, [trace], axes(x_name, y_name, 330, legend=False, yaxis=same)))
    return plots


def _dumbbells(style: Style, name: str, values: np.ndarray, found: TaskScores, measure: str) -> Plot:
    """A stroke a task from its score before adaptation to that after it, over one parameter."""
    strokes: dict[str, list[Any]] = {"x": [], "y": []}
    for value, before, after in zip(rounded(values), rounded(found.before), rounded(found.after), strict=True):
        strokes["x"] += [value, value, None]
        strokes["y"] += [before, after, None]
    base = {"type": "scatter", "x": rounded(values)}
    text = [found.task(i) for i in range(len(values))]
    hover = "%{text}: %{y:.2f}<extra>"
    traces: list[dict[str, Any]] = [
        {"type": "scatter", **strokes, "mode": "lines", "hoverinfo": "skip", "showlegend": False,
         "line": {"color": style.faint(0.45), "width": 2}},
        {**base, "y": rounded(found.before), "mode": "markers", "name": "before", "text": text,
         "marker": {"symbol": "circle-open", "size": 8, "color": GREY, "line": {"width": 1.75}},
         "hovertemplate": f"{hover}before</extra>"},
        {**base, "y": rounded(found.after), "mode": "markers", "name": "after", "text": text,
         "marker": {"symbol": style.marker, "size": 8, "color": style.colour},
         "hovertemplate": f"{hover}after</extra>"},
    ]  # fmt: skip
    return Plot(f"Over {name}", traces, axes(name, words(measure)))


def episodes_figure(number: int, label: str, shown: Sequence[Shown], tasks: Tasks) -> Figure:
    """Episodes of the best, the median and the worst task, before and after adaptation.

    Paths where observations are positions in a plane, and otherwise the reward summed up to each step.

    Args:
        number: Number of the method.
        label: Its label.
        shown: The tasks with their episodes.
        tasks: The measured tasks.
    """
    style, names = style_of(number), parameters(tasks)
    plane = all(e.observations.shape[1:] == (2,) for part in shown for e in (*part.before, *part.after))
    goal = next((values for values in tasks.values() if np.shape(values)[1:] == (2,)), None) if plane else None
    plots: list[Plot] = []
    parts: list[str] = []
    for one in shown:
        traces: list[dict[str, Any]] = []
        for episodes, name, look in (
            (one.before, "before", {"color": GREY, "width": 1, "dash": "dot"}),
            (one.after, "after", {"color": style.colour, "width": 1.25}),
        ):
            for number_of, episode in enumerate(episodes):
                x, y = _line_of(episode, plane)
                traces.append(
                    {"type": "scatter", "mode": "lines", "x": rounded(x, 4), "y": rounded(y, 4), "name": name,
                     "line": look, "legendgroup": name, "showlegend": number_of == 0,
                     "hovertemplate": f"{name}: %{{x:.3g}}, %{{y:.3g}}<extra></extra>"}
                )  # fmt: skip
        if goal is not None:
            (entry,) = (name for name, values in tasks.items() if values is goal)
            at = rounded(goal[one.task])
            traces.append(
                {"type": "scatter", "mode": "markers", "x": at[:1], "y": at[1:], "name": words(entry),
                 "marker": {"symbol": "star", "size": 15, "color": "#E69F00", "line": {"color": INK, "width": 1}},
                 "hovertemplate": "%{x:.3g}, %{y:.3g}<extra></extra>"}
            )  # fmt: skip
        returns = [
            number_text(float(np.mean([e.rewards.sum() for e in part]))) if part else "-"
            for part in (one.before, one.after)
        ]
        title = f"{one.role.capitalize()} task: {returns[0]} to {returns[1]}"
        if plane:
            layout = axes("first observation", "second observation", 330, yaxis={"scaleanchor": "x"})
        else:
            layout = axes("step", "reward so far", 330)
        plots.append(Plot(title, traces, layout))
        place = ", ".join(f"{name} = {values[one.task]:.3g}" for name, values in names.items())
        which = f" ({place})" if len(names) <= MOST_PARAMETERS else ""
        parts.append(f"{one.role}{which}: {returns[0]} to {returns[1]}")
    caption = (
        f"{label}, first seed: mean return of the {len(shown[0].before)} episodes drawn, before and after: "
        f"{'; '.join(parts)}. Chosen by the return after adaptation."
    )
    return Figure(f"episodes-{number}", plots, caption, title=label, across=3)


def _line_of(episode: Any, plane: bool) -> tuple[np.ndarray, np.ndarray]:
    if plane:
        return episode.observations[:, 0], episode.observations[:, 1]
    return np.arange(1, len(episode.rewards) + 1), np.cumsum(episode.rewards)

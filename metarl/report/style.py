"""Figures of a report as data: colours, lines, axes, and the words beside them. Drawn by plotly.js on the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#404040")
"""Colours that colour-blind people can tell apart (Okabe and Ito 2008), one a method."""
DASHES = ("solid", "dash", "dashdot", "longdash", "longdashdot", "5px,2px", "solid")
MARKERS = ("circle", "square", "diamond", "triangle-up", "x", "pentagon", "star")
GREY = "#6b7280"
INK = "#1f2937"
GRID = "#e5e7eb"
GAIN_SCALE = [[0.0, "#D55E00"], [0.5, "#f3f4f6"], [1.0, "#0072B2"]]
"""Loss to gain: vermilion, white, blue."""
RETURN_SCALE = "Cividis"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True)
class Table:
    """Numbers behind a figure."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Plot:
    """One set of axes."""

    title: str
    traces: list[dict[str, Any]]
    layout: dict[str, Any]


@dataclass(frozen=True)
class Figure:
    """Plots side by side with one caption, which says in numbers what they show."""

    name: str
    """Identifier on the page."""
    plots: list[Plot]
    caption: str
    table: Table | None = None
    title: str | None = None
    across: int = field(default=2)
    """Plots in a row on a wide page."""


@dataclass(frozen=True)
class Style:
    """Colour, dash and marker of a method, the same in every plot."""

    colour: str
    dash: str
    marker: str

    def faint(self, opacity: float = 0.16) -> str:
        """The colour, transparent, for bands."""
        red, green, blue = (int(self.colour[i : i + 2], 16) for i in (1, 3, 5))
        return f"rgba({red},{green},{blue},{opacity})"


def style_of(number: int) -> Style:
    """Style of a method by its number, from 0.

    Example:
        >>> style_of(1)
        Style(colour='#D55E00', dash='dash', marker='square')
    """
    place = number % len(COLOURS)
    return Style(COLOURS[place], DASHES[place], MARKERS[(number + number // len(COLOURS)) % len(MARKERS)])


def axes(x: str, y: str, height: int = 340, *, legend: bool = True, **changes: Any) -> dict[str, Any]:
    """Layout of a plot.

    Args:
        x: Label of the horizontal axis.
        y: Label of the vertical axis.
        height: Height in pixels.
        legend: Whether there is a legend, above the plot.
        **changes: Entries of the axes, as `xaxis={"dtick": 1}`, and of the layout.
    """
    line = {"gridcolor": GRID, "zeroline": False, "linecolor": "#9ca3af", "ticks": "outside", "tickcolor": "#9ca3af"}
    line |= {"automargin": True, "title": {"standoff": 8}}
    layout: dict[str, Any] = {
        "height": height,
        "margin": {"l": 56, "r": 12, "t": 12, "b": 44},
        "font": {"family": FONT, "size": 13, "color": INK},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hovermode": "closest",
        "hoverlabel": {"bgcolor": "white", "bordercolor": "#9ca3af", "font": {"color": INK}},
        "showlegend": legend,
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
        "xaxis": {**line, "title": {**line["title"], "text": x}},  # type: ignore[dict-item]
        "yaxis": {**line, "title": {**line["title"], "text": y}},  # type: ignore[dict-item]
    }
    for name, change in changes.items():
        layout[name] = {**layout[name], **change} if isinstance(layout.get(name), dict) else change
    return layout


def rounded(values: Sequence[float | None] | np.ndarray, digits: int = 5) -> list[float | None]:
    """Numbers for the page with so many significant digits; None where they are not finite.

    Example:
        >>> rounded([1 / 3, float("nan"), None, 12345.678])
        [0.33333, None, None, 12346.0]
    """
    return [None if v is None or not np.isfinite(v) else float(f"{v:.{digits}g}") for v in values]


def band(x: Sequence[Any], low: Sequence[Any], high: Sequence[Any], style: Style) -> list[dict[str, Any]]:
    """An interval as a filled area; nothing where an end of it is unknown."""
    if not all(value is not None for value in (*low, *high)):
        return []
    return [
        {
            "type": "scatter",
            "x": [*x, *reversed(x)],
            "y": rounded([*high, *reversed(low)]),
            "fill": "toself",
            "fillcolor": style.faint(),
            "line": {"width": 0},
            "mode": "lines",
            "hoverinfo": "skip",
            "showlegend": False,
        }
    ]


def line(
    x: Sequence[Any] | np.ndarray,
    y: Sequence[Any] | np.ndarray,
    style: Style,
    name: str,
    *,
    hover: str,
    markers: bool = True,
    **changes: Any,
) -> dict[str, Any]:
    """A line with markers.

    Args:
        x: Places.
        y: Values.
        style: Style of the method.
        name: Name in the legend.
        hover: What is shown beside the pointer, in the words of plotly.
        markers: Whether the points have markers.
        **changes: Further entries of the trace.
    """
    return {
        "type": "scatter",
        "x": list(x),
        "y": rounded(y),
        "name": name,
        "mode": "lines+markers" if markers else "lines",
        "line": {"color": style.colour, "dash": style.dash, "width": 2.25},
        "marker": {"symbol": style.marker, "size": 8, "color": style.colour},
        "hovertemplate": f"{hover}<extra>{name}</extra>",
        **changes,
    }

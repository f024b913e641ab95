"""The two pictures that stand still: adaptation curves, and paths before and after one step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from benchmarks.pictures.measure import LABELS, STEPS, Measured
from benchmarks.pictures.style import LETTERS, WIDTH, Theme, bare, page_figure, points, save_svg, text

REACH = 0.58
"""Half the width of the drawn part of the plane; goals lie within 0.5."""


HEIGHT = 256
"""Height in pixels of a page."""
MOVED = 0.002
"""Distance below which a position is not drawn anew."""


def draw_curves(measured: Measured, theme: Theme, path: Path) -> Path:
    """Return after each adaptation step, averaged over tasks, with its 95 % interval: a panel for each family."""
    figure = page_figure(HEIGHT)
    colours = dict(zip(LABELS, (theme.first, theme.second, theme.grey), strict=True))
    for place, (family, results) in enumerate(measured.curves.items()):
        axes = figure.add_axes((0.105 + 0.51 * place, 0.18, 0.38, 0.62))
        bare(axes, theme)
        # Untrained lies on joint training where neither adapts: dashes and smaller marks show both.
        for label, line, mark in ((LABELS[1], "-", 7), (LABELS[2], "--", 4), (LABELS[0], "-", 7)):
            _draw_curve(axes, results[label], colours[label], line, mark)
        axes.set(xlim=(-0.15, STEPS + 0.15), xticks=range(STEPS + 1))
        axes.locator_params(axis="y", nbins=5)
        text(axes, -0.27, 1.05, f"return, {family}", theme.ink, transform=axes.transAxes)
        axes.set_xlabel("gradient steps", color=theme.ink, fontsize=points(LETTERS))
    words_in_a_row(figure, 0.004, 0.945, colours)
    return save_svg(figure, path)


def _draw_curve(axes: Any, result: dict[str, Any], colour: str, line: str, mark: float) -> None:
    """An average with its interval."""
    curve = result["return"]
    values, low, high = (np.array(curve[name], float) for name in (result["average"], "ci95_low", "ci95_high"))
    axes.fill_between(range(len(values)), low, high, color=colour, alpha=0.25, linewidth=0)
    axes.plot(values, line, marker="o", color=colour, linewidth=points(2), markersize=points(mark))


def words_in_a_row(figure: Any, x: float, y: float, colours: dict[str, str]) -> None:
    """Words in the colours of what they name, in place of a legend."""
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    for words, colour in colours.items():
        written = text(axes, x, y, words, colour, weight="bold")
        x += written.get_window_extent().width / figure.bbox.width + 0.04


def draw_trajectories(measured: Measured, theme: Theme, path: Path) -> Path:
    """Paths to all held-out goals before adaptation and after one step."""
    figure = page_figure(HEIGHT)
    side = 0.486
    for step, words in enumerate(("before adaptation", "after one gradient step")):
        axes = figure.add_axes((0.004 + 0.506 * step, 0.115, side, side * WIDTH / HEIGHT))
        bare(axes, theme, ("left", "bottom", "top", "right"))
        axes.plot(*measured.goals.T, "o", color=theme.second, markersize=points(7), fillstyle="none",
                  markeredgewidth=points(1.5))  # fmt: skip
        for positions in measured.paths[step]:
            axes.plot(*moved(positions).T, color=theme.first, linewidth=points(1.3), solid_joinstyle="round")
            axes.plot(*positions[-1], "o", color=theme.first, markersize=points(3.5))
        axes.plot(0, 0, "+", color=theme.ink, markersize=points(9), markeredgewidth=points(1.5))
        axes.set(xlim=(-REACH, REACH), ylim=(-REACH, REACH), xticks=[], yticks=[])
        text(axes, 0, 1.04, words, theme.ink, transform=axes.transAxes)
    count = len(measured.goals)
    words_in_a_row(figure, 0.004, 0.03, {f"{count} held-out goals": theme.second, "path of the agent": theme.first})
    _draw_scale(figure, theme, side / (2 * REACH))
    return save_svg(figure, path)


def _draw_scale(figure: Any, theme: Theme, unit: float) -> None:
    """A bar of length 0.5 in the plane at the right of the lowest row; `unit` is the part of the width that 1 takes."""
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.plot([0.995 - 0.5 * unit, 0.995], [0.05, 0.05], color=theme.ink, linewidth=points(1.5))
    text(axes, 0.98 - 0.5 * unit, 0.03, "0.5", theme.ink, ha="right")


def moved(path: Float[ndarray, "times 2"]) -> Float[ndarray, "moments 2"]:
    """A path without positions that are next to the one before."""
    kept = [path[0]]
    for position in path[1:]:
        if np.abs(position - kept[-1]).max() > MOVED:
            kept.append(position)
    return np.stack(kept)

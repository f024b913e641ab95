"""Colours, fonts and files that the pictures share.

Colours are those of Okabe and Ito (2008), which people with any form of colour vision tell apart. A picture has one
size of letters. Letters are drawn as shapes, so that a picture looks the same wherever it is opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metarl.evaluation.plots import new_figure

ORANGE, SKY, GREEN, BLUE, VERMILLION, PURPLE = "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7"
OF_TASKS = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION)
"""Colours of tasks, in their order."""

WIDTH = 400
"""Width of a picture in pixels of a page."""
LETTERS = 12.5
"""Size of letters in pixels of a page."""


@dataclass(frozen=True)
class Theme:
    """Colours of pages on which a picture stands."""

    suffix: str
    """Of file names."""
    page: str
    """Background of pictures that cannot be transparent."""
    ink: str
    """Letters and the most important marks."""
    grey: str
    """Marks for comparison."""
    faint: str
    """Axes."""
    first: str
    """The colour of the method in question."""
    second: str
    """A colour beside it."""


LIGHT = Theme("", "#ffffff", "#1f2328", "#6e7781", "#d1d9e0", BLUE, VERMILLION)
DARK = Theme("-dark", "#0d1117", "#f0f6fc", "#7d8590", "#3d444d", SKY, ORANGE)
THEMES = (LIGHT, DARK)


def page_figure(height: int, scale: float = 1.0) -> Any:
    """An empty figure of WIDTH x `height` pixels of a page, with `scale` pixels of an image for each."""
    figure = new_figure(WIDTH / 96, height / 96)
    figure.set_dpi(96 * scale)
    figure.set_layout_engine("none")
    figure.patch.set_visible(False)
    return figure


def points(pixels: float) -> float:
    """A length in pixels of a page in points, the unit of matplotlib's sizes."""
    return pixels * 72 / 96


def text(axes: Any, x: float, y: float, words: str, colour: str, **options: Any) -> Any:
    """Words in the size of all letters."""
    return axes.text(x, y, words, color=colour, fontsize=points(LETTERS), **options)


def bare(axes: Any, theme: Theme, spines: tuple[str, ...] = ("left", "bottom")) -> None:
    """Axes without background, with faint lines on the given sides and small ticks."""
    axes.patch.set_visible(False)
    for side, spine in axes.spines.items():
        spine.set_visible(side in spines)
        spine.set_color(theme.faint)
        spine.set_linewidth(points(1))
    axes.tick_params(
        color=theme.faint, labelcolor=theme.ink, labelsize=points(LETTERS), width=points(1), length=points(4)
    )


def save_svg(figure: Any, path: Path) -> Path:
    """Write a figure with a transparent background; the same figure gives the same bytes."""
    import matplotlib

    with matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": "metarl"}):
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    return path

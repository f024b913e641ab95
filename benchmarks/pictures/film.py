"""The animation: agents with the same weights adapt to different goals, beside their adaptation curve."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, UInt8
from numpy import ndarray

from benchmarks.pictures.measure import STEPS, Measured
from benchmarks.pictures.style import LETTERS, OF_TASKS, WIDTH, Theme, bare, page_figure, points, text

SCALE = 2
"""Pixels of the image for each pixel of a page, for fine screens."""
DURATION = 50
"""Milliseconds of a frame."""
TIMES = 12
"""Steps of an episode that are shown."""
FADING = 4
"""Frames in which the paths of an adaptation step fade."""
HOLD, LAST_HOLD = 300, 900
"""Milliseconds that the paths of an adaptation step, and those of the last, stand still."""
SHADES = 8
"""Shades of each colour."""
HEIGHT = 270
"""Height in pixels of a page."""
REACH = 0.56
"""Half the width of the drawn part of the plane; goals lie within 0.5."""


@dataclass(frozen=True)
class Frame:
    """A moment of the animation."""

    step: int
    """Adaptation step whose policy acts."""
    time: float
    """Steps of the episode so far."""
    visible: float = 1.0
    """Of the paths, between 0 and 1."""
    curve: float = 0.0
    """Adaptation steps of the curve that are drawn."""
    curve_visible: float = 1.0
    duration: int = DURATION


def frames(moving: int, steps: int = STEPS) -> list[Frame]:
    """The moments of the animation; the last ones lead back to the first.

    Args:
        moving: Frames in which the agents move, for each adaptation step.
        steps: Adaptation steps.
    """
    found = []
    for step in range(steps + 1):
        last = step == steps
        found += [Frame(step, TIMES * i / moving, curve=step) for i in range(1, moving)]
        found.append(Frame(step, TIMES, curve=step, duration=LAST_HOLD if last else HOLD))
        for i in range(1, FADING + 1):
            part = i / FADING
            found.append(
                Frame(step, TIMES, 1 - part, curve=step, curve_visible=1 - part)
                if last
                else Frame(step, TIMES, 1 - part, curve=step + part)
            )
    return found


class Stage:
    """The two panels, which draw one moment after the other."""

    def __init__(self, measured: Measured, theme: Theme) -> None:
        chosen = in_all_directions(measured.goals)
        self._goals, self._paths, self._theme = measured.goals[chosen], measured.paths[:, chosen], theme
        self._returns = np.array(next(iter(measured.curves.values()))["MAML"]["per_task"], float)[chosen]
        self._figure = page_figure(HEIGHT, SCALE)
        self._figure.patch.set(visible=True, facecolor=theme.page)
        side = 0.6 * WIDTH / HEIGHT
        self._plane = self._figure.add_axes((0.006, 0.01, 0.6, side))
        self._chart = self._figure.add_axes((0.73, 0.155, 0.26, side - 0.145))

    def draw(self, frame: Frame) -> UInt8[ndarray, "height width 3"]:
        """The image of a moment."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        self._plane.clear()
        self._chart.clear()
        self._draw_plane(frame)
        self._draw_chart(frame)
        canvas = FigureCanvasAgg(self._figure)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()

    def _draw_plane(self, frame: Frame) -> None:
        axes, theme = self._plane, self._theme
        bare(axes, theme, ("left", "bottom", "top", "right"))
        axes.set(xlim=(-REACH, REACH), ylim=(-REACH, REACH), xticks=[], yticks=[])
        for goal, colour in zip(self._goals, OF_TASKS, strict=False):
            axes.plot(*goal, "o", color=colour, markersize=points(15), fillstyle="none", markeredgewidth=points(2.5))
        axes.plot(0, 0, "+", color=theme.ink, markersize=points(9), markeredgewidth=points(1.5))
        for positions, colour in zip(self._paths[frame.step], OF_TASKS, strict=False):
            path = shown(positions, frame.time)
            axes.plot(*path.T, color=colour, linewidth=points(2.2), alpha=frame.visible, solid_joinstyle="round")
            axes.plot(*path[-1], "o", color=colour, markersize=points(8), alpha=frame.visible)
        text(axes, 0, 1.03, titled(frame.step), theme.ink, transform=axes.transAxes)

    def _draw_chart(self, frame: Frame) -> None:
        axes, theme = self._chart, self._theme
        bare(axes, theme)
        places = np.append(np.arange(int(frame.curve) + 1), frame.curve)
        for returns, colour in zip(self._returns, OF_TASKS, strict=False):
            values = np.interp(places, range(STEPS + 1), returns)
            axes.plot(places, values, color=colour, linewidth=points(2), alpha=frame.curve_visible)
            axes.plot(places[:-1], values[:-1], "o", color=colour, markersize=points(5), alpha=frame.curve_visible)
        room = 0.05 * np.ptp(self._returns)
        axes.set(xlim=(-0.3, STEPS + 0.3), xticks=range(STEPS + 1),
                 ylim=(self._returns.min() - room, max(0, self._returns.max()) + room))  # fmt: skip
        axes.set_xlabel("gradient steps", color=theme.ink, fontsize=points(LETTERS))
        axes.locator_params(axis="y", nbins=4)
        text(axes, -0.38, 1 + 0.03 * 0.6 * WIDTH / HEIGHT / axes.get_position().height, "return", theme.ink,
             transform=axes.transAxes)  # fmt: skip


def in_all_directions(goals: Float[ndarray, "goals 2"]) -> list[int]:
    """The first goal in each of as many equal sectors around the start as there are colours, if it has any."""
    sectors = np.floor((np.arctan2(goals[:, 1], goals[:, 0]) / (2 * np.pi) % 1) * len(OF_TASKS)).astype(int)
    found = {sector: place for place, sector in reversed(list(enumerate(sectors.tolist())))}
    return [found[sector] for sector in sorted(found)]


def titled(step: int) -> str:
    """What is seen, in words."""
    return "before adaptation" if step == 0 else f"after {step} gradient step{'s' if step > 1 else ''}"


def shown(path: Float[ndarray, "times 2"], time: float) -> Float[ndarray, "moments 2"]:
    """The part of a path until a time, which may lie between two steps."""
    times = np.append(np.arange(int(time) + 1), time)
    return np.stack([np.interp(times, np.arange(len(path)), path[:, i]) for i in range(2)], axis=1)


def draw_film(measured: Measured, theme: Theme, path: Path, moving: int) -> Path:
    """Write the animation, which repeats for ever.

    Args:
        measured: What is shown.
        theme: Colours.
        path: The GIF file.
        moving: Frames in which the agents move, for each adaptation step.
    """
    stage, moments = Stage(measured, theme), frames(moving)
    images = [stage.draw(moment) for moment in moments]
    write_gif(images, [moment.duration for moment in moments], theme, path)
    return path


def palette_of(theme: Theme) -> list[tuple[int, int, int]]:
    """The theme's colours and those of tasks, each in shades up to the page's own colour, which comes first."""
    page = _rgb(theme.page)
    shades = [
        tuple(np.rint(page + (_rgb(colour) - page) * part / SHADES).astype(int).tolist())
        for colour in (theme.ink, theme.faint, *OF_TASKS)
        for part in range(1, SHADES + 1)
    ]
    return [tuple(page.astype(int).tolist()), *shades]


def _rgb(colour: str) -> Float[ndarray, "3"]:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], float)


def write_gif(images: list[UInt8[ndarray, "height width 3"]], durations: list[int], theme: Theme, path: Path) -> None:
    """Write images of one size with one palette, so that a frame holds only what changed."""
    from PIL import Image

    palette = np.array(palette_of(theme))
    flat = []
    for image in images:
        picture = Image.fromarray(nearest_entries(image, palette))
        picture.putpalette(palette.astype(np.uint8).tobytes())
        flat.append(picture)
    flat[0].save(path, save_all=True, append_images=flat[1:], duration=durations, loop=0, optimize=False)


def nearest_entries(
    image: UInt8[ndarray, "height width 3"], palette: Int[ndarray, "entries 3"]
) -> UInt8[ndarray, "height width"]:
    """The entry of the palette that is nearest to each pixel; a colour of the palette keeps its value."""
    packed = image.astype(np.int64) @ np.array([65536, 256, 1])
    colours, places = np.unique(packed, return_inverse=True)
    values = np.stack([colours // 65536, colours // 256 % 256, colours % 256], axis=1)
    nearest = np.square(values[:, None] - palette).sum(-1).argmin(1)
    return nearest[places].astype(np.uint8).reshape(packed.shape)

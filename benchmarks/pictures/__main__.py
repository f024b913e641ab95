"""`python -m benchmarks.pictures`: train, measure, and draw the pictures of docs/images.

Trains MAML and joint training on two families with their presets (finished runs are used again), measures them on
held-out tasks, and draws every picture for light and for dark pages. The same runs and options give the same bytes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.pictures.draw import draw_curves, draw_trajectories
from benchmarks.pictures.film import draw_film
from benchmarks.pictures.measure import Budget, measure
from benchmarks.pictures.style import THEMES, page_figure
from metarl.console import dispatch, parse
from metarl.core.launch import leave, pin_threads


@dataclass(frozen=True)
class Options:
    """Make the pictures of README and documentation: train on two families, measure, draw."""

    out: Path = Path("docs/images")
    """Folder of the pictures."""
    runs: Path = Path("runs/pictures")
    """Folder of the runs; finished ones are used again."""
    seed: int = 101
    """Seed of training, tasks and episodes; no search for settings used it."""
    iterations: int = 100
    """Meta-iterations of MAML; joint training has twice as many, which take equally many environment steps."""
    meta_batch_size: int = 20
    """Tasks of each iteration."""
    tasks: int = 40
    """Held-out tasks."""
    episodes: int = 40
    """Episodes of each task and adaptation step."""
    frames: int = 18
    """Frames of the animation in which the agents move, for each adaptation step."""


def main(arguments: Sequence[str]) -> None:
    """Make all pictures and print their places and sizes."""
    options = parse(Options, list(arguments), "python -m benchmarks.pictures")
    page_figure(1)  # raises here, before the training, where matplotlib is missing
    pin_threads(1)  # sums depend on the number of threads
    budget = Budget(options.seed, options.iterations, options.meta_batch_size, options.tasks, options.episodes)
    measured = measure(options.runs, budget)
    options.out.mkdir(parents=True, exist_ok=True)
    for theme in THEMES:
        for path in (
            draw_film(measured, theme, options.out / f"adaptation{theme.suffix}.gif", options.frames),
            draw_curves(measured, theme, options.out / f"curves{theme.suffix}.svg"),
            draw_trajectories(measured, theme, options.out / f"trajectories{theme.suffix}.svg"),
        ):
            print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def program(arguments: Sequence[str]) -> int:
    """Run the command; the exit code. Errors that the user can fix are one line."""

    def command(rest: Sequence[str]) -> int:
        main(rest)
        return 0

    return dispatch(["make", *arguments], "pictures", {"make": (command, Options.__doc__ or "")}, "")


if __name__ == "__main__":
    leave(program(sys.argv[1:]))

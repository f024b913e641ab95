"""Pictures of results; matplotlib is the `plot` extra."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metarl.errors import ConfigError, RunError


def plot_curves(results: Mapping[str, dict[str, Any]], path: Path) -> None:
    """Return against adaptation steps, interquartile means with their 95 % intervals, one line a result."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigError("--plot: matplotlib is not installed; pip install 'metarl-toolkit[plot]'") from None

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    for label, result in results.items():
        curve = result["return"]
        steps = list(range(len(curve["iqm"])))
        values = [float("nan") if v is None else v for v in curve["iqm"]]
        (line,) = axes.plot(steps, values, marker="o", label=label)
        if all(v is not None for v in (*curve["ci95_low"], *curve["ci95_high"])):
            axes.fill_between(steps, curve["ci95_low"], curve["ci95_high"], alpha=0.2, color=line.get_color())
        axes.set_xticks(steps)
    first = next(iter(results.values()))
    axes.set_xlabel("adaptation step")
    axes.set_ylabel("return (interquartile mean over tasks)")
    axes.set_title(
        f"{first['family']} {first['variant'] or ''}, {first['split']}, {first['episodes_per_step']} episodes a step",
        fontsize=10,
    )
    axes.grid(alpha=0.3)
    if len(results) > 1:
        axes.legend()
    save_figure(figure, path)


def save_figure(figure: Any, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror}") from None

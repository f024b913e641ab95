"""Pictures of results; matplotlib is the `plot` extra."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metarl.core.errors import ConfigError, RunError

AVERAGE_LABELS = {"iqm": "interquartile mean", "mean": "mean"}


def plot_curves(results: Mapping[str, dict[str, Any]], path: Path) -> None:
    """Score against adaptation steps, averages with their 95 % intervals, one line a result."""
    first = next(iter(results.values()))
    rated = "success" in first
    figure = new_figure(11 if rated else 6, 4)
    axes = figure.add_subplot(1, 1 + rated, 1)
    for label, result in results.items():
        curve = result[first["measure"]]
        steps = list(range(len(curve["mean"])))
        _draw_curve(axes, steps, curve, first["average"], label)
        axes.set_xticks(steps)
    if rated:
        success = figure.add_subplot(1, 2, 2)
        for result in results.values():
            _draw_curve(success, list(range(len(result["success"]["mean"]))), result["success"], "mean", None)
        success.set_xlabel("adaptation step")
        success.set_ylabel("success rate (mean over tasks)")
        success.set_ylim(-0.02, 1.02)
        success.grid(alpha=0.3)
    axes.set_xlabel("adaptation step")
    axes.set_ylabel(f"{first['measure'].replace('_', ' ')} ({AVERAGE_LABELS[first['average']]} over tasks)")
    axes.set_title(
        f"{title_of(first)}, {first['budget']} a step",
        fontsize=10,
    )
    axes.grid(alpha=0.3)
    if len(results) > 1:
        axes.legend()
    save_figure(figure, path)


def plot_comparison(result: dict[str, Any], path: Path) -> None:
    """Score against data of the new task, after and while adapting to it, and against all data: a line a method."""
    measure, unit, average = result["measure"], result["unit"], result["average"]
    during = any("while_adapting" in method for method in result["methods"])
    figure = new_figure(18 if during else 13, 4.5)
    panels = figure.subplots(1, 3 if during else 2, sharey=True)
    after, everything = panels[0], panels[-1]
    for place, method in enumerate(result["methods"]):
        used = method[f"adaptation_{unit}"]
        trained = sum(method[f"training_{unit}"]) / len(method["runs"])
        _draw_curve(after, used, method[measure], average, method["label"], place)
        if "while_adapting" in method:
            curve = {name: v[1:] for name, v in method["while_adapting"].items() if isinstance(v, list)}
            _draw_curve(panels[1], used[1:], curve, average, None, place)
        _draw_curve(everything, [trained + steps for steps in used], method[measure], average, None, place)
    of_task = unit.replace("_", " ") + " of the new task"
    after.set_xlabel(f"{of_task}\nscore after adapting to them")
    if during:
        panels[1].set_xlabel(f"{of_task}\nscore while adapting, average of all episodes used")
    granularities = [method[f"adaptation_{unit}"][1] for method in result["methods"] if result["steps"]]
    if granularities and max(granularities) > 30 * min(granularities):
        for axes in panels[:-1]:
            axes.set_xscale("symlog", linthresh=min(granularities))
    everything.set_xlabel(f"{unit.replace('_', ' ')}, training and adaptation")
    everything.set_xscale("symlog", linthresh=1000)
    everything.set_xlim(left=0)
    after.set_ylabel(f"{measure.replace('_', ' ')} ({AVERAGE_LABELS[average]} over tasks, mean over seeds)")
    figure.legend(loc="outside right center", fontsize=8)
    for axes in panels:
        axes.grid(alpha=0.3)
    kinds = dict.fromkeys(method[measure]["interval"] for method in result["methods"])
    figure.suptitle(f"{title_of(result)}; bands: 95 % interval {' or '.join(kinds)}", fontsize=10)
    save_figure(figure, path)


def title_of(result: Mapping[str, Any]) -> str:
    """Family, variant if there is one, and split of a result.

    Example:
        >>> title_of({"family": "lander:family", "variant": None, "split": "meta-test"})
        'lander:family, meta-test'
    """
    return f"{' '.join(filter(None, (result['family'], result['variant'])))}, {result['split']}"


def new_figure(width: float, height: float) -> Any:
    """An empty figure, in inches; raises ConfigError where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigError("--plot: matplotlib is not installed; pip install 'metarl-toolkit[plot]'") from None
    return Figure(figsize=(width, height), layout="constrained")


def _draw_curve(
    axes: Any, places: list[Any], curve: dict[str, Any], average: str, label: str | None, number: int | None = None
) -> None:
    """A curve with its band; its colour is that of its number, the same in every panel."""
    values = [float("nan") if v is None else v for v in curve[average]]
    number = len(axes.lines) if number is None else number
    # Ten colours, then the same ones dashed.
    style = "-" if number < 10 else "--"
    (line,) = axes.plot(places, values, style, marker="o", markersize=4, label=label, color=f"C{number % 10}")
    if all(v is not None for v in (*curve["ci95_low"], *curve["ci95_high"])):
        axes.fill_between(places, curve["ci95_low"], curve["ci95_high"], alpha=0.2, color=line.get_color())


def save_figure(figure: Any, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror}") from None

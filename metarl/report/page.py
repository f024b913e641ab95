"""The page of a report: measured, drawn and written as one file without links to anything outside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metarl import __version__
from metarl.config.commands import ReportOptions
from metarl.config.memory import Rl2Config
from metarl.config.toml import flat_mapping
from metarl.core.errors import ConfigError, RunError
from metarl.core.numbers import number_text, words
from metarl.evaluation.evaluate import Progress
from metarl.report.command import changed_options, command_of
from metarl.report.curves import (
    EITHER,
    EPISODE,
    STEP,
    adaptation_figure,
    duration,
    extrapolation_figure,
    interval_text,
    learning_figure,
    time_figure,
)
from metarl.report.episodes import shown_episodes
from metarl.report.film import films_of
from metarl.report.history import History, read_history
from metarl.report.measure import Measured, check_runs, measure
from metarl.report.notes import Note, notes_of
from metarl.report.style import Figure, Style, style_of
from metarl.report.tasks import TaskScores, episodes_figure, tasks_figures
from metarl.runs.directory import read_config

TEMPLATES = Path(__file__).parent / "templates"
MOST_METHODS = 4
"""Methods whose episodes are drawn."""


@dataclass(frozen=True)
class Written:
    """A report that was written."""

    path: Path
    bytes: int
    notes: list[Note]


def write_report(
    options: ReportOptions,
    progress: Progress = lambda done, total: None,
    log: Callable[[str], None] = lambda line: None,
) -> Written:
    """Measure runs and write the page about them.

    Args:
        options: Runs, budget and file.
        progress: Called with the number of measured points and the number of all points of one evaluation.
        log: Called with a line about each step that takes time.

    Raises:
        ConfigError: An option is invalid, an extra is missing, or the runs are about different families.
        RunError: A directory is no run, a run is damaged, or the file cannot be written.
    """
    check_extra(film=options.film)
    check_runs(options.runs)
    histories = {run: _history(run) for run in options.runs}
    measured = measure(options, progress, log)
    log("episodes of the best, the median and the worst task")
    html = render(_context(options, measured, histories, log))
    try:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(html, encoding="utf-8")
    except OSError as error:
        raise RunError(f"{options.out}: cannot be written: {error.strerror}") from None
    return Written(options.out, len(html.encode()), _notes(measured, histories))


def check_extra(*, film: bool = False) -> None:
    """Check that the packages of the extra `report` are installed.

    Args:
        film: Whether films are asked for, which take the extra `video` too.

    Raises:
        ConfigError: One is missing.
    """
    from importlib.util import find_spec

    for package in ("jinja2", "plotly"):
        if find_spec(package) is None:
            raise ConfigError(f"metarl report: {package} is not installed; pip install 'metarl-toolkit[report]'")
    if film and find_spec("PIL") is None:
        raise ConfigError("--film: Pillow is not installed; pip install 'metarl-toolkit[video]'")


def _history(run: Path) -> History:
    read_config(run)  # says what is wrong with the directory, before the metrics do
    return read_history(run)


def render(context: Mapping[str, Any]) -> str:
    """The page of a context, with styles and scripts inside it.

    Args:
        context: Values of the template.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["plot_json"] = lambda plot: Markup(script_json({"data": plot.traces, "layout": plot.layout}))
    environment.filters["alternative"] = alternative
    # Files of metarl and plotly, not of a run: they are not escaped.
    inline = {
        "style": Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
        "script": Markup((TEMPLATES / "report.js").read_text(encoding="utf-8")),
        "plotly": Markup(get_plotlyjs().replace("</script", "<\\/script")),
    }
    return environment.get_template("report.html").render(**context, **inline)


def script_json(value: Any) -> str:
    """JSON that can stand inside a script element whatever its strings contain.

    Example:
        >>> script_json({"a": "</script>"})
        '{"a":"\\\\u003c/script\\\\u003e"}'
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def alternative(plot: Any, figure: Figure) -> str:
    """The text that stands for a plot where it cannot be seen."""
    names = list(dict.fromkeys(trace["name"] for trace in plot.traces if trace.get("name")))
    axes = [plot.layout[axis]["title"]["text"] for axis in ("yaxis", "xaxis")]
    about = " against ".join(text for text in axes if text)
    of = f" of {', '.join(names)}" if names else ""
    return f"{plot.title}: {about}{of}. {figure.caption}"


def _of_methods(measured: Measured, histories: Mapping[Path, History]) -> dict[str, list[History]]:
    """Trainings of each method that was trained."""
    trained = (method for method in measured.methods if method.initialisation == "trained")
    return {method.label: [histories[run] for run in method.runs] for method in trained}


def _scores(measured: Measured) -> dict[str, TaskScores]:
    return {label: TaskScores(results, measured.tasks) for label, results in measured.results.items()}


def _notes(measured: Measured, histories: Mapping[Path, History]) -> list[Note]:
    return notes_of(measured, _of_methods(measured, histories), _scores(measured))


def _context(
    options: ReportOptions, measured: Measured, histories: Mapping[Path, History], log: Callable[[str], None]
) -> dict[str, Any]:
    inside, outside = measured.inside, measured.outside
    scores, trained = _scores(measured), _of_methods(measured, histories)
    place = " ".join(filter(None, (inside["family"], inside["variant"])))
    labels = [method.label for method in measured.methods]
    drawn, films = [], []
    for number, label in enumerate(labels[:MOST_METHODS]):
        shown = shown_episodes(measured, label, options.episodes, options.seed)
        if shown:
            drawn.append(episodes_figure(number, label, shown, measured.tasks))
        if shown and options.film:
            log(f"film of {label}")
            films += films_of(measured, label, shown, options.seed)
    remember = {isinstance(method.config, Rl2Config) for method in measured.methods}
    step = EITHER if len(remember) > 1 else EPISODE if True in remember else STEP
    algorithms = list(dict.fromkeys(read_config(run)[0] for run in options.runs))
    return {
        "title": options.title or f"{_listed(algorithms)} on {place}",
        "lead": _lead(options, inside, trained),
        "cards": [
            _card(n, entry, inside, outside, scores[entry["label"]]) for n, entry in enumerate(inside["methods"])
        ],
        "trained": [_training(measured, label, runs) for label, runs in trained.items()],
        "learning": learning_figure(trained),
        "adaptation": adaptation_figure(inside, step),
        "tasks": tasks_figures(scores, inside["measure"]),
        "extrapolation": None if outside is None else extrapolation_figure(inside, outside, step),
        "episodes": drawn,
        "films": films,
        "undrawn": [label for label in labels if not any(figure.title == label for figure in drawn)],
        "time": time_figure(trained),
        "notes": _notes(measured, histories),
        "protocol": [(words(name), str(value)) for name, value in _protocol(measured).items()],
        "version": __version__,
    }


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _lead(options: ReportOptions, inside: Mapping[str, Any], trained: Mapping[str, Sequence[History]]) -> str:
    runs = sum(len(of_method) for of_method in trained.values())
    steps = sum(float(run.used[-1]) for of_method in trained.values() for run in of_method)
    methods = len(inside["methods"])
    return (
        f"{runs} training run{'s' if runs > 1 else ''} of {methods} method{'s' if methods > 1 else ''}, "
        f"{steps / 1e6:.1f} million environment steps in all. Measured on {inside['distinct_tasks']} held-out tasks "
        f"with {options.episodes} episodes each before and after every adaptation step."
    )


def _card(
    number: int, entry: Mapping[str, Any], inside: Mapping[str, Any], outside: Mapping[str, Any] | None, scores: Any
) -> dict[str, Any]:
    """The summary of a method: what it reaches, from where, and how surely."""
    curve, average = entry[inside["measure"]], inside["average"]
    last, style = len(curve["mean"]) - 1, style_of(number)
    facts = [("before adaptation", number_text(curve[average][0]), "")]
    if last > 1:
        facts.append(("after one step", number_text(curve[average][1]), interval_text(curve, 1)))
    if curve["worst_seed"][last] is not None:
        facts.append(("worst seed", number_text(curve["worst_seed"][last]), ""))
    facts.append(("tasks that adaptation harms", f"{scores.harmed} of {len(scores.gain)}", ""))
    if "success" in entry:
        facts.append(("success rate", number_text(entry["success"]["mean"][last]), ""))
    if outside is not None:
        far = outside["methods"][number][inside["measure"]]
        facts.append(("out of distribution", number_text(far[average][last]), interval_text(far, last)))
    return {
        "label": entry["label"],
        "style": style,
        "dash": _svg_dash(style),
        "value": number_text(curve[average][last]),
        "interval": interval_text(curve, last),
        "about": f"{words(inside['measure'])} after {last} adaptation step{'s' if last != 1 else ''}",
        "facts": facts,
        "seeds": len(entry["seeds"]),
    }


def _svg_dash(style: Style) -> str:
    return {"solid": "", "dash": "7 4", "dashdot": "7 3 2 3", "longdash": "10 4"}.get(style.dash, "5 2")


def _training(measured: Measured, label: str, runs: Sequence[History]) -> dict[str, Any]:
    """What was trained, and how to repeat it."""
    method = measured.method(label)
    algorithm, config = read_config(method.runs[0])
    seeds = [read_config(run)[1].seed for run in method.runs]
    alone = all(run.manifest.get("beside", 0) == 0 for run in runs)
    manifests = [run.manifest for run in runs]
    entry = next(entry for entry in measured.inside["methods"] if entry["label"] == label)
    rate = entry["inner_lr"]
    facts = [
        ("algorithm", algorithm),
        ("family", " ".join(filter(None, config.task_name()))),
        ("seeds", ", ".join(map(str, seeds))),
        ("iterations", _range([run.iteration for run in runs])),
        ("environment steps, each run", _range([int(run.used[-1]) for run in runs])),
        ("time, each run", " to ".join(dict.fromkeys(duration(f([r.wall_seconds for r in runs])) for f in (min, max)))),
        ("metarl", _same(manifests, "metarl")),
        ("commit", _same(manifests, "commit", "not recorded")),
        ("torch", _same(manifests, "torch")),
        ("threads", _same(manifests, "threads")),
        ("processes", _same(manifests, "processes")),
        ("rate at test time", "learned, or none" if rate is None else f"{rate:g}, chosen on meta-validation tasks"),
    ]
    return {
        "label": label,
        "facts": facts,
        "changed": [(name, str(value)) for name, value in changed_options(algorithm, config).items()],
        "command": command_of(algorithm, config, seeds, method.runs, alone=alone),
        "options": [(name, str(value)) for name, value in flat_mapping(config).items()],
        "rates": entry["rates_tried"],
    }


def _same(manifests: Sequence[Mapping[str, Any]], name: str, missing: str = "-") -> str:
    """The value of an entry in all manifests; all values where they differ."""
    return ", ".join(dict.fromkeys(str(manifest.get(name) or missing) for manifest in manifests))


def _range(numbers: Sequence[int]) -> str:
    return " to ".join(dict.fromkeys(f"{end:,}" for end in (min(numbers), max(numbers))))


def _protocol(measured: Measured) -> dict[str, Any]:
    first = next(iter(measured.results.values()))[0]
    names = ("split", "splits", "seed", "budget")
    return {name: first[name] for name in names} | dict(first["protocol"])

"""All methods at equal data and equal tuning: the tables of docs/comparison.md.

For each family and method the outer rate (geometric grid, factor 3) and then the inner rate of training (factor 2) are
searched on meta-validation tasks with a seed of their own. Each grid is extended until its best rate is inside; every
trial is measured at its own best test-time rate. The three best trials are repeated with two more seeds, and the best
mean wins. The winner is trained with every seed of the table and evaluated on held-out tasks. Finished runs are used
again, so a stopped table continues where it was. The trials of a search are a study of `metarl.tuning`.
"""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from benchmarks.results.finished_run import finished_run
from benchmarks.results.methods import ESTIMATORS, METHODS, SUITES, Method, Suite, methods_on
from metarl.api import evaluate
from metarl.config.run import TrainConfig
from metarl.config.toml import flat_mapping, to_mapping
from metarl.console import parse
from metarl.core.errors import ConfigError, Divergence, nearest
from metarl.core.numbers import finite_list, write_json
from metarl.evaluation.comparison import VALIDATION_EPISODES, VALIDATION_TASKS, choose_rate, compare, with_chosen_rate
from metarl.evaluation.comparison import Method as ComparedMethod
from metarl.evaluation.plots import plot_comparison
from metarl.runs.directory import read_metrics
from metarl.runs.manifest import NUMERICS
from metarl.tuning import Points, Range
from metarl.tuning.space import Space

VALIDATION_SEED = 1000
FINALISTS = 3
SEARCH = "search"
STEPS = 3
TRIALS = 5
"""Most trials of a grid; the table names the searches that end at the edge."""


@dataclass(frozen=True)
class Options:
    """Compare all methods at equal data and equal tuning: a table a family."""

    out: Path = Path("runs/compare")
    """Runs and results go to OUT/<family>."""
    families: tuple[str, ...] = tuple(SUITES)
    """Families, a table for each."""
    methods: tuple[str, ...] = ()
    """Rows of the tables; all by default."""
    seeds: tuple[int, ...] = tuple(range(11, 21))
    """Training seeds; none of them may be a tuning seed."""
    tasks: int = 100
    """Held-out tasks."""
    quick: bool = False
    """A hundredth of the budget, two seeds, two trials a grid: a check of the program without meaning as a result."""


@dataclass(frozen=True)
class Tuned:
    """The best rates on meta-validation tasks, and all trials."""

    outer: float
    inner: float
    trials: dict[str, dict[str, float | None]]
    trainings: int
    """Number of trainings behind the choice."""
    at_edge: list[str]
    """Rates whose best value lay at the edge of its grid when the trials were used up."""


Score = Callable[[Path, TrainConfig], float]


def folder(name: str) -> str:
    """The folder name of a method."""
    return name.lower().replace(", ", "-").replace(" ", "-")


def trained(place: Path, method: Method, suite: Suite, rates: tuple[float, float], seed: int) -> Path:
    """The finished run of a method at an outer and an inner rate."""
    config = replace(method.configuration(suite, *rates), seed=seed)
    outer, inner = rates
    return finished_run(place / f"{outer:.4g}-{inner:.4g}-seed-{seed}", method.algorithm, config)


def performance_of(run: Path, config: TrainConfig) -> float:
    """Return after one step on meta-validation tasks, at the best test-time rate unless the rates were learned."""
    chosen = with_chosen_rate(ComparedMethod(run.name, (run,), config), at_step=1, seed=VALIDATION_SEED, log=_silent)
    if chosen.tried:
        return max(chosen.tried.values())
    result = evaluate(
        run, split="meta-validation", tasks=VALIDATION_TASKS, episodes=VALIDATION_EPISODES, steps=1,
        seed=VALIDATION_SEED,
    )  # fmt: skip
    return result["return"]["mean"][1]


def _silent(line: str) -> None:
    """No line for each rate: a trial prints one line."""


def tuned(place: Path, method: Method, suite: Suite, most: int, score: Score = performance_of) -> Tuned:
    """Search the outer rate at the suite's inner rate, then the inner rate at the best outer one.

    Args:
        place: Folder of the trials' runs.
        method: The algorithm, and its configuration at each pair of rates.
        suite: The family, and the options that all methods share.
        most: Most trials of a grid.
        score: Performance of a run on meta-validation tasks.
    """
    first, *further = suite.tuning_seeds
    known: dict[tuple[float, float], float] = {}

    def trial(outer: float, inner: float, seed: int) -> float:
        try:
            run = trained(place, method, suite, (outer, inner), seed)
            found = score(run, method.configuration(suite, outer, inner))
        except Divergence:
            found = float("-inf")
        print(f"{place.name}: outer {outer:.3g}, inner {inner:.3g}, seed {seed}: {found:.2f}", flush=True)
        return found

    inner = suite.inner_lr * method.inner_factor
    points = searched(place, method, suite, inner, lambda values: trial(values["outer"], values["inner"], first))

    def performance(outer: float, inner: float) -> float:
        known[outer, inner] = points({"outer": outer, "inner": inner})
        return known[outer, inner]

    outer, outer_tried = choose_rate(lambda rate: performance(rate, inner), method.outer_start, factor=3.0, most=most)
    tried = {"outer": outer_tried}
    if suite.tunes_inner_lr and not method.learns_rate_at_test_time:
        inner, tried["inner"] = choose_rate(lambda rate: performance(outer, rate), inner, most=most)
    best = {"outer": outer, "inner": inner}
    trials = {
        name: dict(zip((f"{rate:.4g}" for rate in of), finite_list(of.values()), strict=True))
        for name, of in tried.items()
    }
    trainings = len(known)
    if further:
        finalists = sorted(known, key=lambda rates: known[rates])[-FINALISTS:]
        means = {
            rates: float(np.mean([known[rates], *(trial(*rates, seed) for seed in further)])) for rates in finalists
        }
        outer, inner = max(means, key=lambda rates: means[rates])
        trainings += len(further) * len(finalists)
        trials["finals"] = dict(zip((f"{o:.4g}, {i:.4g}" for o, i in means), finite_list(means.values()), strict=True))
    at_edge = [name for name, of in tried.items() if best[name] in (min(of), max(of))]
    return Tuned(outer, inner, trials, trainings, at_edge)


def searched(
    place: Path, method: Method, suite: Suite, inner: float, score: Callable[[dict[str, float]], float]
) -> Points:
    """The trials of a search with one seed: each point is scored once, also where a stopped table goes on.

    Args:
        place: Folder of the method.
        method: The method.
        suite: The suite.
        inner: Start of the search for the inner rate.
        score: Score of a point.
    """
    start = {"outer": method.outer_start, "inner": inner}
    # Wider than any grid that starts there gets.
    space: Space = {name: Range(rate * 1e-6, rate * 1e6, log=True) for name, rate in start.items()}
    config = flat_mapping(replace(method.configuration(suite, method.outer_start, inner), seed=suite.tuning_seeds[0]))
    facts = {"method": method.algorithm, **config, "numerics": NUMERICS, "validation seed": VALIDATION_SEED}
    return Points(place / SEARCH, space, facts, score)


def table_of(suite: Suite, methods: Mapping[str, Method], options: Options, out: Path) -> dict[str, Any]:
    """Tune, train and compare all methods of a suite."""
    runs: dict[str, list[Path]] = {}
    searches: dict[str, Tuned] = {}
    for name, method in methods.items():
        place = out / folder(name)
        searches[name] = found = tuned(place, method, suite, 2 if options.quick else TRIALS)
        rates = (found.outer, found.inner)
        shipped = {"algorithm": method.algorithm, **to_mapping(method.configuration(suite, *rates))}
        (place / "preset.toml").write_text(tomli_w.dumps(shipped), encoding="utf-8")
        runs[name] = [trained(place, method, suite, rates, seed) for seed in options.seeds]
        print(f"{suite.family}: {name}: {len(runs[name])} seeds trained", flush=True)
    result = compare(
        [run for listed in runs.values() for run in listed],
        tasks=options.tasks, episodes=40, steps=STEPS, scratch=True,
    )  # fmt: skip
    names = {str(listed[0]): name for name, listed in runs.items()}
    renamed = {}
    for entry in result["methods"]:
        name = "scratch" if entry["label"] == "scratch" else names[entry["runs"][0]]
        renamed[entry["label"]] = entry["label"] = name
    result["probability_of_improvement"] = {
        renamed[a]: {renamed[b]: p for b, p in row.items()} for a, row in result["probability_of_improvement"].items()
    }
    result["tuning"] = {
        name: {
            "outer": found.outer, "inner": found.inner, "trials": found.trials, "trainings": found.trainings,
            "seeds": list(suite.tuning_seeds), "best_at_edge": found.at_edge,
        }
        for name, found in searches.items()
    }  # fmt: skip
    result["seconds"] = {
        name: [read_metrics(run)[-1]["wall_seconds"] for run in listed] for name, listed in runs.items()
    }
    return result


def markdown(result: dict[str, Any], published: Mapping[str, list[float]]) -> str:
    """Means at each step; at the first and the last the interquartile mean over tasks, averaged over seeds.

    Its 95 % intervals are those for these tasks and for new tasks; the worst seed and the deviation over seeds follow.
    """
    points = STEPS + 1
    means = " | ".join(f"mean {step}" for step in range(points))
    lines = [
        f"| method | {means} | "
        + " | ".join(f"IQM {step} (these tasks; new tasks) | worst seed, sd {step}" for step in (1, STEPS))
        + " | search | test rate | steps, seconds |",
        "|---|" + "---|" * (points + 7),
    ]
    ranked = sorted(result["methods"], key=lambda entry: -_number(entry["return"]["mean"][1]))
    for entry in ranked:
        curve = entry["return"]
        cells = [f"{_number(mean):.1f}" for mean in curve["mean"]]
        for step in (1, STEPS):
            names = ("iqm", "ci95_low", "ci95_high", "new_tasks_low", "new_tasks_high", "worst_seed", "seed_sd")
            iqm, low, high, new_low, new_high, worst, sd = (_number(curve[name][step]) for name in names)
            cells.append(f"{iqm:.1f} ({low:.1f} to {high:.1f}; {new_low:.1f} to {new_high:.1f})")
            cells.append(f"{worst:.1f}, {sd:.1f}")
        rate = "learned" if entry["inner_lr"] is None else f"{entry['inner_lr']:.3g}"
        seconds = result["seconds"].get(entry["label"])
        spent = (
            f"{np.mean(entry['training_environment_steps']) / 1e6:.1f}M, {np.mean(seconds):.0f} s" if seconds else "0"
        )
        cells += [_search(result["tuning"].get(entry["label"])), rate, spent]
        lines.append(f"| {entry['label']} | " + " | ".join(cells) + " |")
    for name, values in published.items():
        lines.append(f"| {name} | " + " | ".join(f"{v:.1f}" for v in values) + " |" * (points - len(values) + 8))
    return "\n".join(lines)


def _search(tuning: Mapping[str, Any] | None) -> str:
    """Number of trainings and seeds of a search, and the grids at whose edge its best rate lay."""
    if tuning is None:
        return ""
    edge = "".join(f", {name} at edge" for name in tuning["best_at_edge"])
    return f"{tuning['trainings']} trainings, {len(tuning['seeds'])} seeds{edge}"


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def main(arguments: Sequence[str]) -> None:
    """Make the tables with a command line."""
    make_tables(parse(Options, list(arguments), "python -m benchmarks.results compare-methods"))


def make_tables(options: Options) -> None:
    """Make the tables, one family after the other; raises ConfigError for an unknown family or method."""
    _check_known("--families", options.families, SUITES)
    _check_known("--methods", options.methods, METHODS | ESTIMATORS)
    for family in options.families:
        started = time.perf_counter()
        suite = SUITES[family]
        if options.quick:
            suite = replace(suite, budget=suite.budget // 100)
            options = replace(options, seeds=options.seeds[:2], tasks=min(options.tasks, 8))
        methods = {n: m for n, m in methods_on(suite).items() if not options.methods or n in options.methods}
        result = made_by(options, family) | table_of(suite, methods, options, options.out / family)
        write_json(options.out / family / "table.json", result)
        plot_comparison(result, options.out / family / "curves.png")
        edges = {name: entry["best_at_edge"] for name, entry in result["tuning"].items() if entry["best_at_edge"]}
        print(f"\n{family}, {options.tasks} held-out tasks, seeds {', '.join(map(str, options.seeds))}:\n")
        print(markdown(result, suite.published))
        print(f"\nbest rate at the edge of its grid: {edges or 'none'}")
        print(f"{(time.perf_counter() - started) / 60:.1f} minutes (without the runs that were finished before)\n")


def made_by(options: Options, family: str) -> dict[str, str]:
    """The command of a table, and the commit of the code that made it; "-dirty" where files had changed."""
    rows = " ".join(["--methods", *map(shlex.quote, options.methods)]) if options.methods else ""
    command = f"python -m benchmarks.results compare-methods --families {family} {rows}".strip()
    return {"command": command, "commit": commit()}


def commit() -> str:
    """The commit of this code; "-dirty" where files had changed, "unknown" outside a clone."""
    described = subprocess.run(
        ["git", "describe", "--always", "--abbrev=40", "--dirty"],
        cwd=Path(__file__).parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return described.stdout.strip() or "unknown"


def _check_known(option: str, names: Sequence[str], valid: Mapping[str, Any]) -> None:
    for name in names:
        if name not in valid:
            raise ConfigError(f"{option} = {name}: unknown{nearest(name, valid)}")

"""Tables of trials: RL2 beside gradient methods, references and published rows, on the same held-out tasks.

A trial is a number of episodes of one task, and its return counts every one of them: the return while adapting. RL2
trains with its preset. Gradient methods train on as many environment steps, and adapt after every `support` episodes of
the trial to those episodes; their outer rate and the inner rate of training are searched on meta-validation tasks with
three seeds of their own, and each run adapts at the rate that is best there. Every row is that of the last checkpoint.
Finished runs are used again, so a stopped table continues where it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.results.compare_methods import commit, folder, trained, tuned
from benchmarks.results.finished_run import finished_run
from benchmarks.results.methods import METHODS, Suite
from metarl.api import evaluate
from metarl.config.memory import Rl2Config
from metarl.config.run import TrainConfig
from metarl.config.toml import load_preset
from metarl.core.errors import ConfigError, nearest
from metarl.core.numbers import write_json
from metarl.evaluation.comparison import Method as ComparedMethod
from metarl.evaluation.comparison import with_chosen_rate
from metarl.evaluation.statistics import pooled
from metarl.families.registry import load_family
from metarl.runs.directory import read_metrics
from metarl.training.progress import TrainingDisplay

RL2 = "RL2"
GRADIENT_METHODS = ("MAML-TRPO", "ProMP", "Reptile")
VALIDATION_SEED = 1000
MOST_RATES = 5
"""Most rates of a grid."""


@dataclass(frozen=True)
class Setting:
    """One table."""

    preset: str
    """Preset of RL2: family, variant, episodes of a trial, and environment steps of training."""
    gradient: Suite | None
    """What gradient methods share; its `episodes` are those of a trial between two adaptation steps. None: no rows."""
    tasks: int
    """Held-out tasks."""
    trials: int
    """Trials of each, for RL2."""
    reference_trials: int | None = 1
    """Trials of each, for references that are simulated; None for a family without references."""
    validation_tasks: int = 400
    """Tasks on which rates are chosen."""
    further_episodes: int = 0
    """Episodes of the table beyond those of a trial of training."""
    published: Mapping[str, float] = field(default_factory=dict)
    """Return of a trial as published."""
    divisor: int = 1
    """Training is this many times shorter."""

    @property
    def rl2(self) -> Rl2Config:
        """The preset, without what a table has no use for."""
        config, _ = load_preset("rl2", self.preset)
        iterations = max(1, config.iterations // self.divisor)
        return replace(config, iterations=iterations, validation_tasks=0, checkpoint_every=200)

    @property
    def suite(self) -> Suite:
        """The options of gradient methods, with the environment steps of RL2."""
        assert self.gradient is not None
        return replace(self.gradient, budget=self.steps)

    @property
    def steps(self) -> int:
        """Environment steps of a training whose episodes all have full length."""
        config = self.rl2
        horizon = load_family(config.family, config.variant).horizon
        return config.iterations * config.meta_batch_size * config.episodes * self.episodes * horizon

    @property
    def episodes(self) -> int:
        """Episodes of a trial of training."""
        return self.rl2.inner.steps + 1

    @property
    def played(self) -> int:
        """Episodes of a trial of the table."""
        return self.episodes + self.further_episodes

    @property
    def updates(self) -> int:
        """Adaptation steps of a gradient method within a trial."""
        return self.episodes // self.suite.episodes - 1

    def quick(self) -> Setting:
        """A thousandth of the training, and few tasks."""
        return replace(self, divisor=1000, tasks=min(self.tasks, 20), trials=1, validation_tasks=10)


@dataclass(frozen=True)
class Options:
    """Options that the commands share."""

    out: Path = Path("runs/in-context")
    """Runs and results go to OUT/<setting>."""
    settings: tuple[str, ...] = ()
    """Settings, a table for each; all by default."""
    methods: tuple[str, ...] = GRADIENT_METHODS
    """Rows beside RL2."""
    seeds: tuple[int, ...] = (11, 12, 13)
    """Training seeds; rates were searched with others."""
    quick: bool = False
    """A thousandth of the steps, two seeds, few tasks: a check of the program without meaning as a result."""


class Row(NamedTuple):
    """What a row's runs did."""

    returns: np.ndarray
    """(seeds, tasks, episodes of the trial)"""
    seconds: list[float]
    """Training time of each seed."""
    details: dict[str, Any]
    """Further entries for JSON."""


def rl2_row(setting: Setting, seeds: Sequence[int], place: Path) -> Row:
    """Train RL2 with every seed, and measure its trials; the first has the references beside it."""
    results, runs = [], []
    for seed in seeds:
        config = replace(setting.rl2, seed=seed)
        with TrainingDisplay(config.iterations) as display:
            runs.append(finished_run(place / f"rl2-seed-{seed}", "rl2", config, display.report))
        result = evaluate(
            runs[-1], tasks=setting.tasks, episodes=setting.trials, steps=setting.played - 1,
            references=setting.reference_trials is not None and seed == seeds[0],
            reference_trials=setting.reference_trials or 1,
        )  # fmt: skip
        results.append(result)
    found = {"references": results[0].get("references"), "task_ids": results[0].get("task_ids")}
    return Row(np.array([result["per_task"] for result in results]), seconds_of(runs), found)


def gradient_row(name: str, setting: Setting, seeds: Sequence[int], place: Path, most: int) -> Row:
    """Search the rates of a gradient method, train it with every seed, and measure a trial of each task."""
    method, suite = METHODS[name], setting.suite

    def score(run: Path, config: TrainConfig) -> float:
        return max(at_best_rate(run, config, setting).tried.values())

    found = tuned(place, method, suite, most, score)
    config = method.configuration(suite, found.outer, found.inner)
    runs = [trained(place, method, suite, (found.outer, found.inner), seed) for seed in seeds]
    adapted = [at_best_rate(run, config, setting) for run in runs]
    curves = [
        evaluate(
            run, tasks=setting.tasks, episodes=suite.episodes, steps=setting.updates, inner_lr=best.inner_lr,
            later_inner_lr=best.later_inner_lr,
        )["per_task"]
        for run, best in zip(runs, adapted, strict=True)
    ]  # fmt: skip
    details = {"rates": [best.inner_lr for best in adapted], "search": asdict(found)}
    return Row(np.repeat(np.array(curves), suite.episodes, axis=2), seconds_of(runs), details)


def at_best_rate(run: Path, config: TrainConfig, setting: Setting) -> ComparedMethod:
    """The run at the test-time rate with the highest return of a trial on meta-validation tasks."""
    budget = {"tasks": setting.validation_tasks, "episodes": setting.suite.episodes}
    return with_chosen_rate(
        ComparedMethod(run.name, (run,), config), at_step=setting.updates, seed=VALIDATION_SEED,
        log=lambda line: None, evaluate=trial_so_far, budget=budget,
    )  # fmt: skip


def trial_so_far(run: Path, **options: Any) -> dict[str, Any]:
    """An evaluation whose means are sums of returns over the trial up to each point."""
    result = evaluate(run, **options)
    result["return"]["mean"] = list(np.cumsum(result["return"]["mean"]) * options["episodes"])
    return result


def seconds_of(runs: Sequence[Path]) -> list[float]:
    """Training time of each run."""
    return [read_metrics(run)[-1]["wall_seconds"] for run in runs]


def table_of(setting: Setting, options: Options, place: Path) -> dict[str, Any]:
    """Train and measure all rows.

    Args:
        setting: The family, and how much is measured.
        options: Rows and seeds.
        place: Folder of the runs.
    """
    rows = {RL2: rl2_row(setting, options.seeds, place)}
    for name in options.methods:
        most = 2 if options.quick else MOST_RATES
        rows[name] = gradient_row(name, setting, options.seeds, place / folder(name), most)
    known, ids = (rows[RL2].details.pop(name) for name in ("references", "task_ids"))
    return {
        "family": setting.rl2.family, "variant": setting.rl2.variant, "episodes": setting.played,
        "seeds": list(options.seeds), "tasks": setting.tasks, "trials": setting.trials,
        "episodes_per_update": setting.gradient and setting.gradient.episodes,
        "training_environment_steps": setting.steps,
        "rows": {
            name: {
                "trial": pooled(row.returns.sum(-1, keepdims=True), "mean", ids),
                "trial_of_seeds": row.returns.sum(-1).mean(1).tolist(),
                "episode": row.returns.mean((0, 1)).tolist(),
                "seconds": row.seconds,
                **row.details,
            }
            for name, row in rows.items()
        },
        "references": known,
        "published": dict(setting.published),
    }  # fmt: skip


def markdown(result: Mapping[str, Any]) -> str:
    """Return of a trial with its interval and worst seed, its share of the best reference, and some of its episodes."""
    episodes, known = result["episodes"], result["references"] or {"rows": []}
    shown = sorted({0, 1, 2, 3, episodes - 1} & set(range(episodes)))
    best = next((row["trial"] for row in known["rows"] if row["name"] == known["best"]), None)

    def line(name: str, trial: str, worst: str, total: float | None, each: Sequence[float], seconds: str) -> str:
        share = [] if best is None else [f"{total / best:.1%}" if total is not None else ""]
        cells = [name, trial, worst, *share, *(_number(value) for value in each), *[""] * (len(shown) - len(each))]
        return "|" + "".join(f" {cell} |" if cell else " |" for cell in [*cells, seconds])

    titles = ["row", f"trial of {episodes} (these tasks; new tasks)", "worst seed"]
    titles += [] if best is None else [f"share of {known['best']}"]
    titles += [*(f"episode {k + 1}" for k in shown), "training, seconds"]
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    for name, row in sorted(result["rows"].items(), key=lambda item: -item[1]["trial"]["mean"][0]):
        trial = {key: value[0] for key, value in row["trial"].items() if isinstance(value, list)}
        low, high, new_low, new_high, worst = (
            _number(trial[key]) for key in ("ci95_low", "ci95_high", "new_tasks_low", "new_tasks_high", "worst_seed")
        )
        mean = f"{_number(trial['mean'])} ({low} to {high}; {new_low} to {new_high})"
        each = [row["episode"][k] for k in shown]
        lines.append(line(name, mean, worst, trial["mean"], each, f"{np.mean(row['seconds']):.0f}"))
    for row in known["rows"]:
        name = row["name"] + (", exact" if row["exact"] else "")
        lines.append(line(name, _number(row["trial"]), "", row["trial"], [row["mean"][k] for k in shown], ""))
    for name, value in result["published"].items():
        lines.append(line(name, f"{value:g}", "", None, [], ""))
    return "\n".join(lines)


def _number(value: float | None) -> str:
    """One decimal from a hundred on, otherwise two."""
    if value is None:
        return "-"
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}"


def make_tables(command: str, known: Mapping[str, Setting], options: Options) -> None:
    """Make and print the tables, one setting after the other.

    Args:
        command: Name of the program, for the JSON files.
        known: All settings.
        options: What is made.

    Raises:
        ConfigError: There is no such setting or row.
    """
    names = options.settings or tuple(known)
    rows = GRADIENT_METHODS if all(known[name].gradient for name in names if name in known) else ()
    for option, given, valid in (("settings", names, known), ("methods", options.methods, rows)):
        for name in given:
            if name not in valid:
                raise ConfigError(f"--{option} = {name}: unknown{nearest(name, valid)}")
    for name in names:
        setting = known[name]
        if options.quick:
            options = replace(options, seeds=options.seeds[:2])
            setting = setting.quick()
        chosen = "" if options.methods == type(options)().methods else " ".join([" --methods", *options.methods])
        result = {"command": f"python -m benchmarks.results {command} --settings {name}{chosen}", "commit": commit()}
        result |= table_of(setting, options, options.out / name)
        write_json(options.out / name / "table.json", result)
        print(f"\n{name}: {setting.tasks} held-out tasks, seeds {', '.join(map(str, options.seeds))}:\n")
        print(markdown(result))

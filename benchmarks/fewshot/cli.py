"""The command line of the few-shot benchmarks: metarl's own commands on other tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from benchmarks.fewshot.configs import COMMAND, DOMAINS, default_config, quick
from metarl.command_line import (
    Commands,
    check_plot,
    dispatch,
    overview,
    parse,
    parse_training,
    run_resumed,
    run_training,
    show_comparison,
    show_evaluation,
)
from metarl.domains import Domain
from metarl.errors import ConfigError, RunError, nearest
from metarl.options import ResumeOptions, WhereOptions
from metarl.run_directory import domain_name, read_config
from metarl.validation import check_least

RATE_TASKS = 200
"""Meta-validation tasks on which `compare` chooses learning rates."""


@dataclass(frozen=True)
class TrainOptions(WhereOptions):
    """Where a training goes."""

    quick: bool = False
    """Start from a size that takes about a minute."""


@dataclass(frozen=True)
class MeasureOptions:
    """How adaptation to held-out tasks is measured."""

    split: str = "meta-test"
    """meta-train, meta-validation, meta-test, or a JSON file of tasks."""
    tasks: int = 600
    """Tasks to adapt to."""
    steps: int = 10
    """Adaptation steps."""
    seed: int = 1
    """Chooses the tasks."""
    shots: int | None = None
    """Support examples of each task or class; as trained by default."""
    queries: int | None = None
    """Query examples of each task or class; as configured by default."""
    ways: int | None = None
    """Classes of each task; as trained by default, and for networks with a head nothing else fits."""
    minibatch: int | None = None
    """Support examples that each step draws; as trained by default, 0 for all."""
    transductive: bool | None = None
    """Predict all query examples in one batch, or each beside the support examples; as configured by default."""
    data: str | None = None
    """Folder that holds the images, if it is no longer where it was."""
    json: Path | None = None
    """Write the result here; an existing file is overwritten."""
    plot: Path | None = None
    """Write a picture of the curve here (.png, .svg or .pdf)."""


@dataclass(frozen=True)
class EvaluateOptions(MeasureOptions):
    """Measure how well a run's parameters adapt to held-out tasks: zero, one and more steps."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = Path()
    """Run directory."""
    inner_lr: float | None = None
    """Inner learning rate, for all steps unless a later one is given; as trained by default."""
    later_inner_lr: float | None = None
    """Inner learning rate after the first step."""
    checkpoint: str = "last"
    """last, best (on meta-validation tasks) or an iteration."""
    initialisation: str = "trained"
    """trained, or random: training from scratch on each task."""


@dataclass(frozen=True)
class CompareOptions(MeasureOptions):
    """Adaptation curves of several runs on the same held-out tasks, seeds of one configuration pooled."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")] = ()
    """Run directories; those that differ in nothing but the seed are one method."""
    choose_at: int = 1
    """Step after which each method's test-time rate is best on meta-validation tasks."""
    scratch: bool = False
    """Add an untrained network, its rate chosen with the same care."""


@dataclass(frozen=True)
class ExplainOptions:
    """The lecture's comparison of pre-training, MAML and Reptile, on tasks of one parameter and on sinusoids."""

    plot: Path = Path("explained.png")
    """Write the picture here (.png, .svg or .pdf)."""
    sinusoids: tuple[Path, ...] = ()
    """Sinusoid runs whose predictions are drawn as well, in a second file beside the first."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code, as `metarl.cli.main` gives it."""
    purpose = "Supervised few-shot learning by metarl's own learners."
    return dispatch(arguments, "fewshot", COMMANDS, overview(COMMAND, purpose, COMMANDS))


def _train(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        listing = "\n".join(f"  {name:13} {', '.join(domain.algorithms)}" for name, domain in DOMAINS.items())
        print(f"usage: {COMMAND} train DATASET METHOD --run-dir RUN [OPTIONS]\n\ndata sets and methods:\n{listing}")
        return 0
    if arguments[0] not in DOMAINS:
        raise ConfigError(f"unknown data set '{arguments[0]}'{nearest(arguments[0], DOMAINS)}")
    domain = DOMAINS[arguments[0]]
    if len(arguments) < 2:
        raise ConfigError(f"missing: METHOD (valid: {', '.join(domain.algorithms)})")
    method, rest = arguments[1], arguments[2:]
    found = domain.find(method)
    default = default_config(domain.name, method)
    if "--quick" in rest:
        default = quick(default)
    program = f"{COMMAND} train {domain.name} {method}"
    where, config = parse_training(rest, program, found.summary, TrainOptions(), default)
    return run_training(domain, method, config, where)


def domain_of(run: Path) -> Domain:
    """What a run was trained on; raises RunError where it is none of the benchmarks."""
    name = domain_name(run)
    if name not in DOMAINS:
        raise RunError(f"{run}: trained on {name}; expected one of {', '.join(DOMAINS)}")
    return DOMAINS[name]


def _resume(arguments: list[str]) -> int:
    options = parse(ResumeOptions, arguments, f"{COMMAND} resume")
    return run_resumed(domain_of(options.run), options)


def evaluate(
    run: Path,
    *,
    shots: int | None = None,
    queries: int | None = None,
    ways: int | None = None,
    minibatch: int | None = None,
    transductive: bool | None = None,
    data: str | None = None,
    **measured: Any,
) -> dict[str, Any]:
    """The adaptation curve of a run on held-out tasks; options are those of `EvaluateOptions`."""
    from metarl.api import evaluate_as

    domain = domain_of(run)
    _, config = read_config(run, domain)
    check_least(("shots", shots, 1), ("queries", queries, 1), ("ways", ways, 2), ("minibatch", minibatch, 0))
    given = {"shots": shots, "test_queries": queries, "ways": ways, "transductive": transductive, "data": data}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    for name in changes:
        if not hasattr(config, name):
            raise ConfigError(f"--{name}: {domain.name} has no such option")
    if minibatch is not None:
        changes["minibatch"] = minibatch or None
    return evaluate_as(domain, run, replace(config, **changes), **measured)


BUDGET = ("shots", "queries", "ways", "minibatch", "transductive", "data")


def _evaluate(arguments: list[str]) -> int:
    options = parse(EvaluateOptions, arguments, f"{COMMAND} evaluate")
    check_plot(options.plot)
    domain_of(options.run)
    from metarl.display import evaluation_progress

    measured = ("split", "tasks", "steps", "seed", "inner_lr", "later_inner_lr", "checkpoint", "initialisation")
    with evaluation_progress() as progress:
        result = evaluate(
            options.run, progress=progress, **{name: getattr(options, name) for name in (*BUDGET, *measured)}
        )
    show_evaluation(result, options)
    return 0


def _compare(arguments: list[str]) -> int:
    options = parse(CompareOptions, arguments, f"{COMMAND} compare")
    if not options.runs:
        raise ConfigError("missing: RUN [RUN ...] Run directories.")
    check_plot(options.plot)
    domain = domain_of(options.runs[0])
    from metarl.comparison import compare

    budget = {name: getattr(options, name) for name in BUDGET}
    result = compare(
        options.runs,
        split=options.split,
        tasks=options.tasks,
        steps=options.steps,
        seed=options.seed,
        choose_at=options.choose_at,
        scratch=options.scratch,
        notice=lambda line: print(line, flush=True),
        domain=domain,
        evaluate=evaluate,
        validation_budget={**budget, "tasks": RATE_TASKS},
        **budget,
    )
    show_comparison(result, options)
    return 0


def _explain(arguments: list[str]) -> int:
    options = parse(ExplainOptions, arguments, f"{COMMAND} explain")
    check_plot(options.plot)
    from benchmarks.fewshot.explain import explain

    explain(options.plot, options.sinusoids)
    return 0


COMMANDS: Commands = {
    "train": (_train, "meta-train on a data set into a new run directory"),
    "resume": (_resume, "go on with a run, exactly"),
    "evaluate": (_evaluate, "adaptation curve on held-out tasks"),
    "compare": (_compare, "adaptation curves of several runs, with statistics"),
    "explain": (_explain, "the picture that explains pre-training, MAML and Reptile"),
}

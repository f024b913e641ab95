"""The command line of the few-shot benchmarks: metarl's own commands on other tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from benchmarks.fewshot.configs import COMMAND, KINDS, PrototypeOptions, default_config, kind_of, quick
from metarl.config.algorithms import PretrainOptions
from metarl.config.commands import ResumeOptions, WhereOptions
from metarl.config.evaluation import Evaluation
from metarl.config.validation import check_least
from metarl.console import (
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
from metarl.core.errors import ConfigError, nearest
from metarl.runs.directory import read_config

Progress = Callable[[int, int], None]

RATE_TASKS = 200
"""Meta-validation tasks on which `compare` chooses learning rates."""


@dataclass(frozen=True)
class TrainOptions(WhereOptions):
    """Run directory of a training, and its size."""

    quick: bool = False
    """Start from a size that takes about a minute."""


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Support and query examples of held-out tasks."""

    shots: int | None = None
    """Support examples of each task or class; as trained by default."""
    queries: int | None = None
    """Query examples of each task or class; as configured by default."""
    ways: int | None = None
    """Classes of each task; as trained by default, which is the only choice for networks with a head."""
    minibatch: int | None = None
    """Support examples that each adaptation step draws; as trained by default, 0 for all."""
    transductive: bool | None = None
    """Predict all query examples in one batch, or each with the support examples; as configured by default."""
    data: str | None = None
    """Folder of the images, if it has moved."""


@dataclass(frozen=True, kw_only=True)
class FewShotEvaluation(DataOptions, Evaluation):
    """Options of an evaluation on held-out few-shot tasks."""

    split: str = "meta-test"
    """meta-train, meta-validation, meta-test, or a JSON file of tasks."""
    tasks: int = 600
    """Tasks to adapt to."""
    steps: int = 10
    """Adaptation steps."""
    seed: int = 1
    """Chooses the tasks."""


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(FewShotEvaluation):
    """Adapt a run's parameters to held-out tasks, and measure them before and after each step."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Run directory."""
    json: Path | None = None
    """Write the result here; an existing file is overwritten."""
    plot: Path | None = None
    """Write a picture of the curve here (.png, .svg or .pdf)."""
    inner_lr: float | None = None
    """Inner learning rate, for all steps unless a later one is given; as trained by default, and for a random
    initialisation the best after one step on as many meta-validation tasks."""


@dataclass(frozen=True, kw_only=True)
class CompareOptions(DataOptions):
    """Adaptation curves of several runs on the same held-out tasks, seeds of one configuration pooled."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")] = ()
    """Run directories; runs that differ in the seed alone are one method."""
    split: str = "meta-test"
    """meta-train, meta-validation, meta-test, or a JSON file of tasks."""
    tasks: int = 600
    """Tasks to adapt to."""
    steps: int = 10
    """Adaptation steps."""
    seed: int = 1
    """Chooses the tasks."""
    choose_at: int = 1
    """Adaptation step at which each method's test-time rate is best on meta-validation tasks."""
    scratch: bool = False
    """Add an untrained network, its rate chosen in the same way."""
    json: Path | None = None
    """Write the result here; an existing file is overwritten."""
    plot: Path | None = None
    """Write a picture of the curves here (.png, .svg or .pdf)."""


@dataclass(frozen=True)
class ExplainOptions:
    """The lecture's comparison of pre-training, MAML and Reptile, on tasks of one parameter and on sinusoids."""

    plot: Path = Path("explained.png")
    """Write the picture here (.png, .svg or .pdf)."""
    sinusoids: tuple[Path, ...] = ()
    """Sinusoid runs whose predictions are drawn in a second file beside the first."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code, as `metarl.cli.main` gives it."""
    purpose = "Supervised few-shot learning by metarl's own learners."
    return dispatch(arguments, "fewshot", COMMANDS, overview(COMMAND, purpose, COMMANDS))


def _train(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        listing = "\n".join(f"  {name:13} {', '.join(kind.algorithms)}" for name, kind in KINDS.items())
        print(f"usage: {COMMAND} train DATASET METHOD --run-dir RUN [OPTIONS]\n\ndata sets and methods:\n{listing}")
        return 0
    if arguments[0] not in KINDS:
        raise ConfigError(f"unknown data set '{arguments[0]}'{nearest(arguments[0], KINDS)}")
    kind = KINDS[arguments[0]]
    if len(arguments) < 2:
        raise ConfigError(f"missing: METHOD (valid: {', '.join(kind.algorithms)})")
    method, rest = arguments[1], arguments[2:]
    found = kind.find(method)
    default = default_config(kind.name, method)
    if "--quick" in rest:
        default = quick(default)
    program = f"{COMMAND} train {kind.name} {method}"
    where, config = parse_training(rest, program, found.summary, TrainOptions(), default)
    return run_training(kind, method, config, where)


def _resume(arguments: list[str]) -> int:
    options = parse(ResumeOptions, arguments, f"{COMMAND} resume")
    return run_resumed(kind_of(options.run), options)


def evaluate(run: Path, *, progress: Progress = lambda done, total: None, **options: Any) -> dict[str, Any]:
    """The adaptation curve of a run on held-out tasks; options are those of `FewShotEvaluation`."""
    return _evaluated(run, FewShotEvaluation(**options), progress)


def _evaluated(run: Path, options: FewShotEvaluation, progress: Progress) -> dict[str, Any]:
    from metarl.evaluation.evaluate import evaluate_as

    kind = kind_of(run)
    algorithm, config = read_config(run, kind)
    check_least(
        ("shots", options.shots, 1), ("queries", options.queries, 1), ("ways", options.ways, 2),
        ("minibatch", options.minibatch, 0),
    )  # fmt: skip
    given = {
        "shots": options.shots,
        "test_queries": options.queries,
        "ways": options.ways,
        "transductive": options.transductive,
        "data": options.data,
    }
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    for name in changes:
        if not hasattr(config, name):
            raise ConfigError(f"--{name}: {kind.name} has no such option")
    if options.ways is not None and not isinstance(config, PretrainOptions):
        changes["train_ways"] = None  # as --ways: joint training alone takes another number in training
    if options.minibatch is not None:
        changes["minibatch"] = options.minibatch or None
    return evaluate_as(kind, algorithm, run, replace(config, **changes), options, progress)


BUDGET = tuple(entry.name for entry in fields(DataOptions))


def _evaluate(arguments: list[str]) -> int:
    options = parse(EvaluateOptions, arguments, f"{COMMAND} evaluate")
    check_plot(options.plot)
    kind_of(options.run)
    from metarl.training.progress import evaluation_progress

    options = _with_rate_from_scratch(options)
    with evaluation_progress() as progress:
        result = _evaluated(options.run, options, progress)
    show_evaluation(result, options)
    return 0


def _with_rate_from_scratch(options: EvaluateOptions) -> EvaluateOptions:
    """The options with a rate for a random initialisation that has none: the trained one's may diverge from there."""
    from metarl.evaluation.comparison import Method, with_chosen_rate

    _, config = read_config(options.run, kind_of(options.run))
    given = options.inner_lr is not None or options.later_inner_lr is not None
    if options.initialisation != "random" or given or options.steps == 0 or isinstance(config, PrototypeOptions):
        return options
    budget = {name: getattr(options, name) for name in (*BUDGET, "tasks")}
    chosen = with_chosen_rate(
        Method("from scratch", (options.run,), config, "random"),
        at_step=1,
        seed=options.seed,
        log=lambda line: print(line, flush=True),
        evaluate=evaluate,
        budget=budget,
    )
    return replace(options, inner_lr=chosen.inner_lr, later_inner_lr=chosen.later_inner_lr)


def _compare(arguments: list[str]) -> int:
    options = parse(CompareOptions, arguments, f"{COMMAND} compare")
    if not options.runs:
        raise ConfigError("missing: RUN [RUN ...] Run directories.")
    check_plot(options.plot)
    kind = kind_of(options.runs[0])
    from metarl.evaluation.comparison import compare

    budget = {name: getattr(options, name) for name in BUDGET}
    result = compare(
        options.runs,
        split=options.split,
        tasks=options.tasks,
        steps=options.steps,
        seed=options.seed,
        choose_at=options.choose_at,
        scratch=options.scratch,
        log=lambda line: print(line, flush=True),
        kind=kind,
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

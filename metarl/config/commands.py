"""Options of each command, from which tyro builds the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from metarl.config.evaluation import FamilyEvaluation, ReferenceOptions, Worth


@dataclass(frozen=True)
class WhereOptions:
    """Run directory and seeds of a training."""

    run_dir: Path | None = None
    """Run directory to create (required)."""
    or_resume: bool = False
    """Resume the run if it exists with the same configuration."""
    accept_numerics: bool = False
    """With --or-resume, resume even if a metarl with other mathematics or defaults started the run."""
    seeds: tuple[int, ...] = ()
    """Train a run for each of these seeds, into RUN_DIR/seed-N; the processes of torchrun divide them."""
    seeds_at_once: int | None = None
    """Seeds in one batch (default: all if possible); with 1 each is bitwise the run of its seed alone."""
    threads: int | None = None
    """Threads of torch (default: OMP_NUM_THREADS, or what the workload is worth on the cores that are free)."""
    log: tuple[str, ...] = ()
    """Loggers beside TensorBoard: csv (metrics.csv), wandb, mlflow; see docs/callbacks.md."""


@dataclass(frozen=True)
class RunOptions(WhereOptions):
    """Run directory, seeds and preset of a training."""

    config: str | None = None
    """A shipped preset or a TOML file; by default the preset of algorithm, family and variant."""


@dataclass(frozen=True)
class TuneOptions:
    """Study and search of `metarl tune`."""

    study_dir: Path | None = None
    """Directory of the study (required); the same command goes on with the study that it holds."""
    search: tuple[str, ...] = ()
    """What to search, as OPTION=LOW:HIGH, OPTION=log:LOW:HIGH or OPTION=A,B,C; by default the shipped space."""
    space: Path | None = None
    """TOML file of what to search; --search replaces its entries."""
    trials: int | None = None
    """Trials in total (default: 30, or all combinations of a grid)."""
    seeds: tuple[int, ...] = (1000, 1001, 1002)
    """Training seeds of every trial; train the result with others."""
    sampler: Literal["tpe", "random", "grid"] = "tpe"
    """How trials are chosen; --seed governs it. A grid takes every combination of listed values."""
    prune: bool = True
    """End a trial whose score at a checkpoint is below the median of the other trials there."""
    out: Path | None = None
    """Preset file for the best options (default: STUDY_DIR/preset.toml)."""
    json: Path | None = None
    """File for all trials (default: STUDY_DIR/table.json)."""
    threads: int | None = None
    """Threads of torch in each process."""
    config: str | None = None
    """A shipped preset or a TOML file to search around; by default the preset of algorithm, family and variant."""


@dataclass(frozen=True)
class ResumeOptions:
    """Resume a run from its newest intact checkpoint; the result equals that of an uninterrupted run."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Run directory."""
    iterations: int | None = None
    """Meta-iterations in total; as configured by default. A run that was stopped early goes on only with this."""
    extend_schedule: bool = False
    """Train past the end of a schedule, at its last value."""
    threads: int | None = None
    """Threads of torch (default: OMP_NUM_THREADS, or as the run began)."""
    log: tuple[str, ...] = ()
    """Loggers beside TensorBoard: csv (metrics.csv), wandb, mlflow; they continue what they logged before."""
    accept_numerics: bool = False
    """Resume even if a metarl with other mathematics or defaults started the run."""


@dataclass(frozen=True)
class FamilyResumeOptions(ResumeOptions):
    """Resume a run from its newest intact checkpoint; the result equals that of an uninterrupted run."""

    family: str | None = None
    """Its family as module:attribute or path/to/module.py:attribute, if it is not found as the run names it."""


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(FamilyEvaluation):
    """Measure how fast a run's policy adapts to held-out tasks."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Run directory."""
    json: Path | None = None
    """Write the result here; an existing file is overwritten."""
    plot: Path | None = None
    """Write a picture of the curve here (.png, .svg or .pdf)."""


@dataclass(frozen=True)
class CompareOptions(ReferenceOptions):
    """Compare adaptation curves of several runs on the same held-out tasks; seeds of one configuration are pooled."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")]
    """Run directories; runs that differ only in the seed are one method."""
    split: str = "meta-test"
    """Split of the tasks."""
    tasks: int = 40
    """Tasks to adapt to."""
    episodes: int = 40
    """Episodes of each task before and after every step."""
    steps: int = 3
    """Adaptation steps."""
    adaptation_budget: int | None = None
    """Environment steps of a new task, in place of --steps: each method takes as many steps as they allow."""
    seed: int = 1
    """Chooses the tasks and governs the episodes."""
    choose_at: int = 1
    """Step for which each method's test-time learning rate is chosen, on meta-validation tasks."""
    scratch: bool = False
    """Add an untrained policy, whose learning rate is chosen in the same way."""
    json: Path | None = None
    """Write the result here; an existing file is overwritten."""
    plot: Path | None = None
    """Write a picture of the curves here (.png, .svg or .pdf)."""


@dataclass(frozen=True)
class ReportOptions:
    """One self-contained page about runs: what was trained, how it adapts, on which tasks, and what went wrong."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")]
    """Run directories; runs that differ only in the seed are one method."""
    out: Path = Path("report.html")
    """File to write (.html); an existing one is overwritten."""
    title: str | None = None
    """Title of the page; methods and family by default."""
    tasks: int = 40
    """Tasks of each split to adapt to."""
    episodes: int = 40
    """Episodes of each task before and after every step."""
    steps: int = 3
    """Adaptation steps."""
    seed: int = 1
    """Chooses the tasks and governs the episodes."""
    choose_at: int = 1
    """Step for which each method's test-time learning rate is chosen, on meta-validation tasks."""
    scratch: bool = False
    """Add an untrained policy, whose learning rate is chosen in the same way."""
    film: bool = False
    """Add a film of the best, the median and the worst task, where the family can be rendered (extra video)."""


@dataclass(frozen=True)
class AdaptOptions:
    """Adapt a run's policy to one given task and save the adapted policy."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Run directory."""
    task: str
    """The task as JSON, for instance '{"goal": [0.3, -0.2]}'."""
    out: Path
    """File for the adapted policy (safetensors)."""
    steps: int = 1
    """Adaptation steps."""
    episodes: int = 20
    """Episodes of each step."""
    inner_lr: float | None = None
    """Inner learning rate; as trained by default."""
    later_inner_lr: float | None = None
    """Inner learning rate after the first step."""
    seed: int = 1
    """Governs the episodes."""
    checkpoint: str = "last"
    """last, best (on meta-validation tasks) or an iteration."""
    family: str | None = None
    """Its family as module:attribute or path/to/module.py:attribute, if it is not found as the run names it."""
    video: Path | None = None
    """Write an episode of the adapted policy here (.gif, or .mp4 with the video extra)."""


@dataclass(frozen=True)
class ExportOptions:
    """Write a run's policy for ONNX (.onnx), torch.export (.pt2), or Stable-Baselines3 (.zip), for PPO.load(...)."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Run directory, or a policy that metarl adapt saved."""
    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT.onnx|.pt2|.zip")]
    """File to write, whose suffix chooses the format; an existing one is overwritten."""
    algorithm: str | None = None
    """For .zip: PPO (the default) or A2C; runs of reptile-sb3 and pretrain-sb3 have the one of their training."""
    settings: str = "{}"
    """For .zip: further arguments of the algorithm's constructor as JSON, for instance '{"n_steps": 512}'."""
    seed: int = 1
    """For .zip: seed of the value function, which metarl does not learn."""
    checkpoint: str = "last"
    """last, best (on meta-validation tasks) or an iteration."""
    family: str | None = None
    """For .zip: its family as module:attribute or path/to/module.py:attribute, if not found as the run names it."""


@dataclass(frozen=True)
class ReproduceOptions:
    """Repeat a published experiment: train its seeds, measure them as published, and print both. No NAME lists all."""

    name: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")] = None
    """The experiment."""
    run_dir: Path | None = None
    """Directory of the runs, RUN_DIR/seed-N; finished ones are used again, begun ones are finished."""
    seeds: tuple[int, ...] = (11, 12, 13)
    """Training seeds."""
    iterations: int | None = None
    """Fewer iterations than the experiment has, for a first look."""
    threads: int | None = None
    """Threads of torch (default: OMP_NUM_THREADS, or what the workload is worth on the cores that are free)."""
    json: Path | None = None
    """Write the result here; an existing file is overwritten."""


@dataclass(frozen=True)
class RunsOptions:
    """List the runs in a directory and below it, with state, iterations and last return."""

    directory: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")] = Path("runs")
    """Directory to search."""


@dataclass(frozen=True)
class FamiliesOptions:
    """List the task families that are installed."""


@dataclass(frozen=True)
class TasksOptions:
    """Write the tasks that an evaluation draws, as JSON that `metarl evaluate --split FILE.json` reads."""

    family: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FAMILY")]
    """A registered name, module:attribute, or path/to/module.py:attribute."""
    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT.json")]
    """File to write; an existing one is overwritten."""
    variant: str | None = None
    """Variant of the family; its default if none is given."""
    split: str = "meta-test"
    """meta-train, meta-validation, meta-test or out-of-distribution."""
    tasks: int = 40
    """Number of tasks."""
    seed: int = 1
    """Chooses the tasks."""


@dataclass(frozen=True)
class CheckOptions:
    """Check that a task family fulfils its contract, with a hint for each failed check."""

    family: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FAMILY")]
    """A registered name, module:attribute, or path/to/module.py:attribute."""
    variant: str | None = None
    """Variant of the family; its default if none is given."""


@dataclass(frozen=True, kw_only=True)
class WorthOptions(Worth):
    """Measure in minutes what adaptation can gain on a family, and which parameters of its tasks matter."""

    family: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FAMILY")]
    """A registered name, module:attribute, or path/to/module.py:attribute."""
    json: Path | None = None
    """Write the result here; an existing file is overwritten."""

"""Start a training, or go on with one."""

from __future__ import annotations

from pathlib import Path

from metarl.config.registry import REINFORCEMENT_LEARNING, ProblemKind
from metarl.config.run import RunConfig, has_schedule
from metarl.core.errors import ConfigError
from metarl.core.launch import restarts
from metarl.core.ranks import broadcast_rank0, current, process_group, sync_errors
from metarl.runs.directory import check_same, read_config
from metarl.training.assembly import Assembly, assemble
from metarl.training.loop import Outcome, Reporter, Training


def train(
    algorithm: str,
    config: RunConfig,
    run_dir: Path | str,
    *,
    kind: ProblemKind = REINFORCEMENT_LEARNING,
    or_resume: bool = False,
    accept_numerics: bool = False,
    report: Reporter | None = None,
) -> Outcome:
    """Meta-train into a new run directory.

    Args:
        algorithm: Name of the outer update, or `module:Class`.
        config: Its options.
        run_dir: Directory to create.
        kind: The kind of problem.
        or_resume: Go on with the run that is there, if its configuration is the same.
        accept_numerics: Go on even if another numerics version began the run.
        report: Called with each iteration's record.

    Raises:
        ConfigError, FamilyError: Options or a family that cannot be used.
        RunError: The directory cannot be used.
        EnvironmentFault, Divergence: Training cannot go on; checkpoints written so far stay.
    """
    with (
        process_group(config.device, config.rank_timeout),
        assemble(algorithm, config, kind) as parts,
        opened(parts, Path(run_dir), or_resume, accept_numerics) as training,
    ):
        return training.run(config.iterations, report)


def opened(parts: Assembly, run: Path, or_resume: bool, accept_numerics: bool = False) -> Training:
    """A hold on a new run, or with `or_resume` on the one that is there if its configuration is the same."""
    there = broadcast_rank0(is_there(run, or_resume))
    with sync_errors():
        if there and current().index == 0:
            check_same(run, parts.algorithm, parts.config, parts.kind)
    return Training(parts, run, new=not there, accept_numerics=accept_numerics)


def is_there(run: Path, or_resume: bool) -> bool:
    """Whether to resume: `or_resume` was given or torchrun restarted this process, and a run exists."""
    return (or_resume or restarts() > 0) and (run / "config.toml").exists()


def resume(
    run_dir: Path | str,
    *,
    kind: ProblemKind = REINFORCEMENT_LEARNING,
    iterations: int | None = None,
    extend_schedule: bool = False,
    accept_numerics: bool = False,
    report: Reporter | None = None,
) -> Outcome:
    """Go on with a run from its newest whole checkpoint; the result is bitwise that of an uninterrupted run.

    Args:
        run_dir: The run.
        kind: The kind of problem.
        iterations: Meta-iterations in total (default: as configured).
        extend_schedule: Go on past the end of a schedule, at its last value.
        accept_numerics: Go on even if another numerics version began the run.
        report: Called with each iteration's record.

    Raises:
        ConfigError, RunError: Options or a run that cannot be gone on with.
    """
    run = Path(run_dir)
    algorithm, config = read_config(run, kind)
    total = config.iterations if iterations is None else iterations
    if total < 0:
        raise ConfigError(f"--iterations = {total}; expected a number that is not negative")
    if has_schedule(config) and total > config.iterations and not extend_schedule:
        raise ConfigError(
            f"--iterations = {total}; the schedule of {algorithm} ends at {config.iterations}; "
            "add --extend-schedule to go on at its last value"
        )
    with (
        process_group(config.device, config.rank_timeout),
        assemble(algorithm, config, kind) as parts,
        Training(parts, run, new=False, accept_numerics=accept_numerics) as training,
    ):
        return training.run(total, report)

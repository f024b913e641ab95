"""Start and resume training."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from metarl.callbacks.callback import Outcome
from metarl.callbacks.dispatch import Callbacks
from metarl.config.registry import REINFORCEMENT_LEARNING, ProblemKind
from metarl.config.run import RunConfig, has_schedule
from metarl.core.errors import ConfigError
from metarl.core.launch import restarts
from metarl.core.ranks import broadcast_rank0, current, process_group, sync_errors
from metarl.families.registry import family_name
from metarl.runs.directory import check_same, holds_run, read_config
from metarl.runs.sources import naming_network, naming_source
from metarl.training.assembly import Assembly, assemble
from metarl.training.loop import Reporter, Training


def train(
    algorithm: str,
    config: RunConfig,
    run_dir: Path | str,
    *,
    kind: ProblemKind = REINFORCEMENT_LEARNING,
    or_resume: bool = False,
    accept_numerics: bool = False,
    report: Reporter | None = None,
    callbacks: Callbacks | None = None,
) -> Outcome:
    """Meta-train into a new run directory.

    Args:
        algorithm: Name of the outer update, or `module:Class`.
        config: Its options.
        run_dir: Directory to create.
        kind: The kind of problem.
        or_resume: Whether an existing run with the same configuration is resumed.
        accept_numerics: Whether a run of another numerics version may be resumed.
        report: Called with each iteration's record.
        callbacks: Called at the events of the run.

    Raises:
        CallbackFault: A callback raised; the run is saved.
        ConfigError, FamilyError: An option is invalid, or the family cannot be loaded.
        RunError: The directory cannot be used.
        EnvironmentFault, Divergence: Training cannot continue; checkpoints written so far remain.
    """
    with (
        process_group(config.device, config.rank_timeout),
        assemble(algorithm, config, kind) as parts,
        opened(parts, Path(run_dir), or_resume, accept_numerics, callbacks=callbacks) as training,
    ):
        return training.run(config.iterations, report)


def opened(
    parts: Assembly,
    run: Path,
    or_resume: bool,
    accept_numerics: bool = False,
    seeds: int = 1,
    callbacks: Callbacks | None = None,
) -> Training:
    """Create a run, or open the existing one if `or_resume` is set and its configuration is the same.

    Args:
        parts: The parts of the configuration.
        run: The run directory.
        or_resume: Whether an existing run is resumed.
        accept_numerics: Whether a run of another numerics version may be resumed.
        seeds: Number of runs that are trained in one batch.
        callbacks: Called at the events of the run.
    """
    there = broadcast_rank0(is_there(run, or_resume))
    with sync_errors():
        if there and current().index == 0:
            check_same(run, parts.algorithm, parts.config, parts.kind)
    return Training(parts, run, new=not there, accept_numerics=accept_numerics, seeds=seeds, callbacks=callbacks)


def is_there(run: Path, or_resume: bool) -> bool:
    """Whether to resume: `or_resume` was given or torchrun restarted this process, and a run exists."""
    return (or_resume or restarts() > 0) and holds_run(run)


def resume(
    run_dir: Path | str,
    *,
    kind: ProblemKind = REINFORCEMENT_LEARNING,
    family: str | None = None,
    iterations: int | None = None,
    extend_schedule: bool = False,
    accept_numerics: bool = False,
    report: Reporter | None = None,
    callbacks: Callbacks | None = None,
) -> Outcome:
    """Resume a run from its newest intact checkpoint; the result is bitwise that of an uninterrupted run.

    A run that early stopping or a callback ended is complete. It goes on only if `iterations` is given.

    Args:
        run_dir: The run.
        kind: The kind of problem.
        family: Name by which its family is found here (default: as configured).
        iterations: Meta-iterations in total, at least as many as are done (default: as configured).
        extend_schedule: Whether training may continue past the end of a schedule, at its last value.
        accept_numerics: Whether a run of another numerics version may be resumed.
        report: Called with each iteration's record.
        callbacks: Called at the events of the run.

    Returns:
        The last iteration, and the signal or the reason that stopped training, if any.

    Raises:
        CallbackFault: A callback raised; the run is saved.
        ConfigError: An option is invalid.
        RunError: There is no such run, it is in use, or it cannot be resumed.
        EnvironmentFault, Divergence: Training cannot continue; checkpoints written so far remain.

    Example:
        >>> import tempfile
        >>> from metarl.config import MamlTrpoConfig
        >>> config = MamlTrpoConfig(iterations=1, meta_batch_size=2, episodes=2, validation_tasks=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = Path(folder) / "run"
        ...     first = train("maml-trpo", config, run)
        ...     first.iteration, resume(run, iterations=2).iteration
        (1, 2)
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
    there = getattr(config, "family", "")
    if family is not None:
        config = replace(config, family=family_name(family))
    with (
        process_group(config.device, config.rank_timeout),
        _assembled(run, there, family is None, algorithm, config, kind) as parts,
        Training(parts, run, new=False, accept_numerics=accept_numerics, callbacks=callbacks) as training,
    ):
        if iterations is not None and total < training.iteration:
            raise ConfigError(f"--iterations = {total}; expected at least {training.iteration}, which {run} has done")
        if iterations is not None and total > training.iteration:
            training.go_on()
        return training.run(total, report)


def _assembled(run: Path, there: str, as_configured: bool, *of: Any) -> Assembly:
    """The parts of a run; where the module of its family or network is not found, the error names where it was."""
    network = getattr(getattr(of[1], "policy", None), "network", None)
    with naming_source(run, there) if as_configured else nullcontext(), naming_network(run, network):
        return assemble(*of)

"""One trial: the runs of its seeds, trained side by side from checkpoint to checkpoint, whose scores decide on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from metarl.config.registry import REINFORCEMENT_LEARNING, ProblemKind
from metarl.config.run import RunConfig
from metarl.core.errors import Divergence
from metarl.core.machine import torch_threads
from metarl.runs.manifest import list_checkpoints, scores_of
from metarl.training.assembly import assemble
from metarl.training.loop import Training
from metarl.training.start import opened


class Stopped(Exception):
    """A signal stopped the trial between two iterations; its runs are saved.

    Args:
        signal: The signal.
    """

    def __init__(self, signal: int) -> None:
        super().__init__(f"signal {signal}")
        self.signal = signal


@dataclass(frozen=True)
class Scores:
    """The seeds' scores at one checkpoint."""

    iteration: int
    by_seed: list[float]
    """Mean performance of each seed on its meta-validation tasks, after the last adaptation step."""
    data_used: int
    """Amount of training data, over all seeds."""
    seconds: float
    """Wall time of training, over all seeds."""

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return sum(self.by_seed) / len(self.by_seed)


def scores_by_checkpoint(
    folder: Path,
    algorithm: str,
    config: RunConfig,
    seeds: Sequence[int],
    *,
    after: int = -1,
    stop: Callable[[], int | None] = lambda: None,
    kind: ProblemKind = REINFORCEMENT_LEARNING,
) -> Iterator[Scores]:
    """Train a run for each seed into `folder/seed-N`, and yield the scores whenever all have the next checkpoint.

    Each run is bitwise the run of its seed alone. Runs that exist go on where they are.

    Args:
        folder: Folder of the trial.
        algorithm: Name of the outer update, or `module:Class`.
        config: Its options; the seed is replaced.
        seeds: The seeds.
        after: Iteration up to which the scores are known already.
        stop: Returns a signal that asks to stop, if there is one.
        kind: The kind of problem.

    Raises:
        Stopped: A signal stopped training.
        Divergence: Training diverged, or a checkpoint has no score.
        ConfigError, FamilyError, EnvironmentFault, RunError: As in `metarl.training.train`.
    """
    with ExitStack() as held:
        parts = held.enter_context(assemble(algorithm, config, kind))
        runs = [folder / f"seed-{seed}" for seed in seeds]
        trainings = [
            held.enter_context(opened(parts.for_seed(seed), run, or_resume=True))
            for seed, run in zip(seeds, runs, strict=True)
        ]
        for iteration in checkpoints_of(config):
            if iteration > after:
                scores = [_advance(training, iteration, stop) for training in trainings]
                yield Scores(
                    iteration, scores, sum(t.data_used for t in trainings), sum(t.wall_seconds for t in trainings)
                )


def checkpoints_of(config: RunConfig) -> list[int]:
    """Iterations of a run's checkpoints.

    Example:
        >>> from metarl.config import TrainConfig
        >>> checkpoints_of(TrainConfig(iterations=60, checkpoint_every=25))
        [25, 50, 60]
    """
    return [*range(config.checkpoint_every, config.iterations, config.checkpoint_every), config.iterations]


def _advance(training: Training, iteration: int, stop: Callable[[], int | None]) -> float:
    """Train one seed up to a checkpoint and return the score that it carries."""
    signal = stop()
    if signal is not None:
        raise Stopped(signal)
    assert training.threads is not None
    with torch_threads(training.threads):
        if training.iteration < iteration:
            try:
                signal = training.run(iteration, None).signal
            except Divergence as error:
                error.args = (f"seed {training.config.seed}, {error}",)
                raise
            if signal is not None:
                raise Stopped(signal)
        elif _score(training) is None:
            # A signal came just before this checkpoint, which was saved without taking the time for a score.
            with training.recording(iteration):
                training.save()
    score = _score(training)
    if score is None:
        raise Divergence(f"seed {training.config.seed}, iteration {iteration}: no score on meta-validation tasks")
    return score


def _score(training: Training) -> float | None:
    """The score of the present iteration's checkpoint; None if it has none."""
    return scores_of(list_checkpoints(training.run_dir), lambda error: None).get(training.iteration)

"""The protocol of callbacks: four events, a read-only view of the run, and how a training ended. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metarl.config.registry import REINFORCEMENT_LEARNING, ProblemKind
from metarl.config.run import RunConfig
from metarl.core.errors import MetarlError, RunError


@dataclass(frozen=True)
class Outcome:
    """Outcome of a training."""

    iteration: int
    """Number of completed iterations."""
    signal: int | None = None
    """The signal that stopped training; None if there was none."""
    error: MetarlError | None = None
    """The error that ended the run; None if there was none."""
    stopped: str | None = None
    """Why early stopping or a callback stopped training; None if neither did."""


def _ignore(reason: str) -> None:
    """Do nothing: nobody is there to stop training."""


@dataclass(frozen=True)
class RunView:
    """A training as a callback sees it at one event. Everything in it is a copy, so changes have no effect."""

    algorithm: str
    """Name of the outer update."""
    config: RunConfig
    """The configuration."""
    run_dir: Path
    """The run directory."""
    iteration: int
    """Number of completed iterations."""
    total: int
    """Iteration that training ends at."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """Record of the last iteration, as a line of metrics.jsonl; empty before the first iteration of this process."""
    scores: Mapping[int, float | None] = field(default_factory=dict)
    """Score of each checkpoint at the configured interval, by iteration; None where it could not be measured."""
    validation: Mapping[str, Any] | None = None
    """Performance of the newest checkpoint on meta-validation tasks, as in its manifest; None if not measured."""
    kind: ProblemKind = REINFORCEMENT_LEARNING
    """The kind of problem."""
    ask_to_stop: Callable[[str], None] = field(default=_ignore, repr=False)
    """What `stop` calls."""
    make_agent: Callable[[], Any] | None = field(default=None, repr=False)
    """Called by `agent`; None where there are no agents."""

    def stop(self, reason: str) -> None:
        """Ask for the end of training after this event; the run is saved, with the reason in its manifest.

        Args:
            reason: One line. The first callback that asks is the one that counts.
        """
        self.ask_to_stop(" ".join(str(reason).split())[:500])

    def agent(self) -> Any:
        """A `metarl.Agent` or `metarl.MemoryAgent` with a copy of the current parameters, to adapt and act with.

        Raises:
            RunError: The run's model is no policy of metarl, as in few-shot learning or with Stable-Baselines3.
        """
        if self.make_agent is None:
            raise RunError(f"{self.run_dir}: no agent: the model of {self.algorithm} is not a policy of metarl")
        return self.make_agent()


class Callback:
    """Base class of callbacks, whose events do nothing; override those that you need.

    With several processes callbacks run in rank 0 alone. Random generators and the number of threads are restored
    after every event, so a run is bitwise the same with callbacks and without. An exception ends training: the run is
    saved, the other callbacks see its end, and the error names callback and event.

    Example:
        >>> class StopAtReturn(Callback):
        ...     def on_iteration(self, run):
        ...         if run.metrics["return"][-1] > -10:
        ...             run.stop("the return is above -10")
    """

    def on_start(self, run: RunView) -> None:
        """Training begins or goes on; an exception here ends it before anything is trained."""

    def on_iteration(self, run: RunView) -> None:
        """An iteration is done, and its metrics are written."""

    def on_checkpoint(self, run: RunView) -> None:
        """A checkpoint is written; it is the newest in `run.run_dir`."""

    def on_end(self, run: RunView, outcome: Outcome) -> None:
        """Training ended, for whatever reason, and the run is saved.

        Args:
            run: The run at its end.
            outcome: Why it ended.
        """

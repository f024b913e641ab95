"""Runs of the tables: finished ones are used again, begun ones are finished."""

from __future__ import annotations

from pathlib import Path

from metarl.config.run import TrainConfig
from metarl.training.loop import Reporter
from metarl.training.start import train


def finished_run(place: Path, algorithm: str, config: TrainConfig, report: Reporter | None = None) -> Path:
    """The run of a configuration, trained or finished now where necessary; a signal ends the program."""
    outcome = train(algorithm, config, place, or_resume=True, report=report)
    if outcome.signal is not None:
        raise SystemExit(128 + outcome.signal)
    return place

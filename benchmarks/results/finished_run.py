"""Runs that the tables are made of: what is there is used, what was begun is finished."""

from __future__ import annotations

from pathlib import Path

from metarl.config.run import TrainConfig
from metarl.training.loop import Reporter
from metarl.training.start import train


def finished_run(place: Path, algorithm: str, config: TrainConfig, report: Reporter | None = None) -> Path:
    """The finished run of a configuration, trained now if it is not there; a signal ends the program."""
    outcome = train(algorithm, config, place, or_resume=True, report=report)
    if outcome.signal is not None:
        raise SystemExit(128 + outcome.signal)
    return place

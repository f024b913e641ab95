"""Errors that are the user's to mend: one line each, printed without a traceback, exit code 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MetarlError(Exception):
    """Something outside metarl is wrong; the message says what, where and what was expected."""


class ConfigError(MetarlError):
    """A configuration or command line that cannot be used."""


class FamilyError(MetarlError):
    """A task family that is unknown, cannot be loaded or breaks its contract."""


class EnvironmentFault(MetarlError):
    """An environment that raised, or returned something that is not an observation or a reward."""


class WorkerFault(EnvironmentFault):
    """A worker process that raised, died or did not answer; a new one may do better."""


class RunError(MetarlError):
    """A run directory that is missing, in use or damaged."""


class Divergence(MetarlError):
    """Training or adaptation produced values that are not finite; `task` is the index of the task, where known."""

    def __init__(self, message: str, task: int | None = None) -> None:
        super().__init__(message)
        self.task = task


def nearest(name: str, valid: Iterable[str]) -> str:
    """A suggestion to append to a message: the nearest valid name, and the choices when they are few."""
    names = sorted(valid)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"; did you mean '{close[0]}'?" if close else ""
    choices = f" (valid: {', '.join(names)})" if names and len(names) <= 12 else ""
    return choices + hint

"""Errors that the user can fix: the command line prints one line without a traceback and exits with code 2."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class MetarlError(Exception):
    """Base class of errors with a cause outside metarl; the message names the place, the value and the expectation."""


class ConfigError(MetarlError):
    """Invalid configuration or command line."""


class FamilyError(MetarlError):
    """Unknown task family, or one that cannot be loaded or violates its contract."""


class EnvironmentFault(MetarlError):
    """An environment raised an exception, or returned an invalid observation or reward."""


class WorkerFault(EnvironmentFault):
    """A worker process raised, died or did not answer; a retry with new workers may succeed."""


class RunError(MetarlError):
    """Run directory that is missing, in use or damaged."""


class CallbackFault(MetarlError):
    """A callback raised an exception; the message names callback, event and exception."""


class Divergence(MetarlError):
    """Training or adaptation produced values that are not finite.

    Args:
        message: The one-line message.
        task: Index of the task within the batch; None if unknown.
    """

    def __init__(self, message: str, task: int | None = None) -> None:
        super().__init__(message)
        self.task = task


_OPTION = re.compile(r"(?<![\w/-])--([a-z][a-z0-9.-]*)")


@contextmanager
def in_python_words() -> Iterator[None]:
    """Errors of metarl inside the block name arguments as Python does: `inner.first_order`, not `--inner.first-order`.

    Example:
        >>> with in_python_words():
        ...     raise ConfigError("--meta-batch-size = 0; expected at least 1")
        Traceback (most recent call last):
        metarl.core.errors.ConfigError: meta_batch_size = 0; expected at least 1
    """
    try:
        yield
    except MetarlError as error:
        if error.args:
            words = _OPTION.sub(lambda found: found[1].replace("-", "_"), str(error.args[0]))
            error.args = (words, *error.args[1:])
        raise


def in_words(error: BaseException) -> str:
    """Type and message of an exception; the message alone for errors of metarl, which are whole sentences.

    Example:
        >>> in_words(ValueError("no motor")), in_words(NotImplementedError()), in_words(ConfigError("--lr = 0"))
        ('ValueError: no motor', 'NotImplementedError without a message', '--lr = 0')
    """
    if isinstance(error, MetarlError):
        return str(error)
    return f"{type(error).__name__}: {error}" if str(error) else f"{type(error).__name__} without a message"


NEAR = 0.65
"""Least similarity of a suggested name; below it two names share some letters and nothing else."""


def nearest(name: str, valid: Iterable[str]) -> str:
    """Suggestion to append to an error message: the choices if there are at most 12, and the nearest valid name.

    Args:
        name: The invalid name.
        valid: The valid names.

    Example:
        >>> nearest("promb", ["maml", "promp"])
        " (valid: maml, promp); did you mean 'promp'?"
    """
    names = sorted(valid)
    close = difflib.get_close_matches(name, names, n=1, cutoff=NEAR)
    hint = f"; did you mean '{close[0]}'?" if close else ""
    choices = f" (valid: {', '.join(names)})" if names and len(names) <= 12 else ""
    return choices + hint

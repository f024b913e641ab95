"""The checks of `metarl check` and the loop that runs them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from metarl.core.errors import MetarlError, in_words
from metarl.families.checks import env_checks, task_checks
from metarl.families.checks.under_test import (
    CannotMake,
    CheckFailed,
    CheckSkipped,
    UnderTest,
    place_of,
)
from metarl.families.family import TaskFamily
from metarl.families.registry import load_family

CHECKS: dict[str, Callable[[UnderTest], str]] = {
    "declaration": task_checks.declaration,
    "tasks": task_checks.tasks,
    "splits": task_checks.splits,
    "json": task_checks.json_round_trip,
    "spaces": env_checks.spaces_constant,
    "values": env_checks.values,
    "gymnasium": env_checks.gymnasium_checker,
    "stable-baselines3": env_checks.sb3_checker,
    "repeatable": env_checks.repeatable,
    "task matters": env_checks.task_matters,
    "re-tasking": env_checks.retasking,
    "sticky task": env_checks.sticky,
    "time limit": env_checks.time_limit,
    "batch": env_checks.batch,
    "workers": env_checks.workers,
}


class Finding(NamedTuple):
    """Result of one check: its name, the verdict ("pass", "fail" or "skip"), the finding, and a hint for a failure."""

    check: str
    verdict: str
    found: str
    hint: str = ""


def check_family(family: str | TaskFamily) -> Iterator[Finding]:
    """Run all checks on a family; an exception that the family raises is a failure with its message.

    Where the declaration is wrong or an environment cannot be made, that is the last finding. An exception that several
    checks meet is one failure.

    Args:
        family: The family, or its name.

    Yields:
        One finding per check.

    Example:
        >>> from metarl.families import load_family
        >>> finding = next(check_family(load_family("navigation2d")))
        >>> finding.check, finding.verdict
        ('declaration', 'pass')
    """
    under_test = UnderTest(load_family(family))
    causes: dict[str, str] = {}
    for name, look in CHECKS.items():
        try:
            yield Finding(name, "pass", look(under_test))
        except CannotMake as broken:
            yield Finding(name, "fail", str(broken), broken.hint)
            return
        except CheckFailed as broken:
            yield _once(name, broken, str(broken), broken.hint, causes)
            if name == "declaration":
                return
        except CheckSkipped as skipped:
            yield Finding(name, "skip", str(skipped))
        except Exception as error:
            place = "" if isinstance(error, MetarlError) else place_of(error)
            yield _once(name, error, in_words(error), place and f"see {place}", causes)
            if name == "declaration":
                return


def _once(name: str, error: BaseException, found: str, hint: str, causes: dict[str, str]) -> Finding:
    """A failure, or, if an earlier check failed by the same exception of the environment, a reference to that check."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    if isinstance(cause, CheckFailed):
        return Finding(name, "fail", found, hint)
    first = causes.setdefault(in_words(cause), name)
    return Finding(name, "fail", found, hint) if first == name else Finding(name, "skip", f"same error as in '{first}'")

"""The checks of `metarl check` and the loop that runs them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from metarl.families.checks import env_checks, task_checks
from metarl.families.checks.under_test import CheckFailed, CheckSkipped, UnderTest
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
    for name, look in CHECKS.items():
        try:
            yield Finding(name, "pass", look(under_test))
        except CheckFailed as broken:
            yield Finding(name, "fail", str(broken), broken.hint)
        except CheckSkipped as skipped:
            yield Finding(name, "skip", str(skipped))
        except Exception as error:
            place = _where(error)
            yield Finding(name, "fail", f"{type(error).__name__}: {error}", f"see {place}" if place else "")


def _where(error: Exception) -> str:
    """File and line of the innermost frame."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{trace.tb_frame.f_code.co_filename}, line {trace.tb_lineno}"

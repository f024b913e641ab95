"""A report about runs: one self-contained page with what was trained, how it adapts, and what went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metarl.core.imports import lazy_door

if TYPE_CHECKING:
    from metarl.report.command import command_of as command_of
    from metarl.report.page import Written as Written
    from metarl.report.page import check_extra as check_extra
    from metarl.report.page import write_report as write_report

__getattr__, __dir__, __all__ = lazy_door(
    __name__,
    {
        "metarl.report.command": ("command_of",),
        "metarl.report.page": (
            "Written",
            "check_extra",
            "write_report",
        ),
    },
)

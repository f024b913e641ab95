"""`metarl check`: checks of a task family's contract, with hints for failures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metarl.core.imports import lazy_door

if TYPE_CHECKING:
    from metarl.families.checks.check import Finding as Finding
    from metarl.families.checks.check import check_family as check_family

__getattr__, __dir__, __all__ = lazy_door(
    __name__,
    {
        "metarl.families.checks.check": (
            "Finding",
            "check_family",
        ),
    },
)

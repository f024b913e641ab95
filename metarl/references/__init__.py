"""References: what is known about a family beside its learners, such as an exact optimum. Imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metarl.core.imports import lazy_door

if TYPE_CHECKING:
    from metarl.references.reference import Reference as Reference
    from metarl.references.reference import Returns as Returns

__getattr__, __dir__, __all__ = lazy_door(
    __name__,
    {"metarl.references.reference": ("Reference", "Returns")},
)

"""Hyper-parameter search on meta-validation tasks by Optuna, the extra `tune`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metarl.core.imports import lazy_door

if TYPE_CHECKING:
    from metarl.tuning.points import Points as Points
    from metarl.tuning.result import print_results as print_results
    from metarl.tuning.search import Found as Found
    from metarl.tuning.search import Search as Search
    from metarl.tuning.search import run_search as run_search
    from metarl.tuning.space import Choices as Choices
    from metarl.tuning.space import Range as Range
    from metarl.tuning.space import Space as Space
    from metarl.tuning.space import dotted as dotted
    from metarl.tuning.space import load_space as load_space
    from metarl.tuning.space import parse_space as parse_space
    from metarl.tuning.space import shipped_space as shipped_space
    from metarl.tuning.space import space_of as space_of
    from metarl.tuning.space import space_to_search as space_to_search
    from metarl.tuning.study import Study as Study
    from metarl.tuning.trial import Scores as Scores
    from metarl.tuning.trial import scores_by_checkpoint as scores_by_checkpoint

__getattr__, __dir__, __all__ = lazy_door(
    __name__,
    {
        "metarl.tuning.points": ("Points",),
        "metarl.tuning.result": ("print_results",),
        "metarl.tuning.search": (
            "Found",
            "Search",
            "run_search",
        ),
        "metarl.tuning.space": (
            "Choices",
            "Range",
            "Space",
            "dotted",
            "load_space",
            "parse_space",
            "shipped_space",
            "space_of",
            "space_to_search",
        ),
        "metarl.tuning.study": ("Study",),
        "metarl.tuning.trial": (
            "Scores",
            "scores_by_checkpoint",
        ),
    },
)

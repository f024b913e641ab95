"""Trials: several episodes of one task as one environment, for learners with memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metarl.core.imports import lazy_door

if TYPE_CHECKING:
    from metarl.trials.env import TrialEnv as TrialEnv
    from metarl.trials.env import inner_seed as inner_seed
    from metarl.trials.observation import HistoryObservation as HistoryObservation

__getattr__, __dir__, __all__ = lazy_door(
    __name__,
    {
        "metarl.trials.env": (
            "TrialEnv",
            "inner_seed",
        ),
        "metarl.trials.observation": ("HistoryObservation",),
    },
)

"""A search that chooses its points itself, each with one trial of a study, so that it goes on after a kill."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from optuna.trial import TrialState

from metarl.core.errors import Divergence
from metarl.tuning.space import Space
from metarl.tuning.study import Claim, Study, write_facts


class Points:
    """Scores at given values, remembered on disk.

    Args:
        place: Directory of the study.
        space: The searched options, with ranges that contain every point.
        facts: What a score depends on beside the point; a study goes on only with the same.
        score: Score of a point; Divergence counts as minus infinity.

    Raises:
        RunError: The directory holds another study.
    """

    def __init__(
        self, place: Path, space: Space, facts: Mapping[str, Any], score: Callable[[dict[str, Any]], float]
    ) -> None:
        write_facts(place, dict(facts))
        self._study, self._score = Study(place, space, prune=False), score

    def __call__(self, values: dict[str, Any]) -> float:
        """The score at these values, computed now unless it is known."""
        while (known := self._known(values)) is None:
            self._study.enqueue(values)
            claim = self._study.claim(len(self._study.trials) + 1)
            assert claim is not None
            try:
                self._run(claim)
            finally:
                claim.lock.release()
        return known

    def _known(self, values: dict[str, Any]) -> float | None:
        for trial in self._study.trials:
            if trial.state.is_finished() and self._study.values_of(trial) == values:
                return trial.value if trial.state == TrialState.COMPLETE else -math.inf
        return None

    def _run(self, claim: Claim) -> None:
        try:
            score = self._score(claim.values)
        except Divergence as error:
            claim.trial.set_user_attr("diverged", True)
            claim.trial.set_user_attr("error", str(error))
            score = math.nan
        except BaseException:
            claim.put_back()
            raise
        if math.isnan(score):
            self._study.optuna.tell(claim.trial, state=TrialState.PRUNED)
        else:
            self._study.optuna.tell(claim.trial, score)

"""Early stopping as a function of the recorded scores, so that an interrupted run stops at the same iteration."""

from __future__ import annotations

from collections.abc import Mapping

from metarl.config.run import EarlyStopConfig


def early_stop(scores: Mapping[int, float | None], options: EarlyStopConfig, since: int = 0) -> str | None:
    """Why training stops after the newest of the scores; None if it goes on.

    A score is better if it exceeds the best earlier one by more than 0 and at least `min_improvement`. A checkpoint
    without a score counts as not better.

    Args:
        scores: Score of each checkpoint at the configured interval, by iteration; None where it was not measured.
        options: Patience, least improvement and first iteration.
        since: Iteration at which the user continued a run that had stopped; patience is counted from there.

    Example:
        >>> early_stop({25: -9.0, 50: -7.0, 75: -8.0, 100: None}, EarlyStopConfig(patience=2))
        'early stopping: no better score in 2 checkpoints; the best is -7 at iteration 50'
    """
    best, best_at, misses = None, 0, 0
    for number, score in sorted(scores.items()):
        if score is not None and (best is None or (score > best and score >= best + options.min_improvement)):
            best, best_at, misses = score, number, 0
        elif number > since:
            misses += 1
    if not options.patience or misses < options.patience or max(scores) < options.min_iterations:
        return None
    known = "none was measured" if best is None else f"the best is {best:.6g} at iteration {best_at}"
    return f"early stopping: no better score in {misses} checkpoints; {known}"

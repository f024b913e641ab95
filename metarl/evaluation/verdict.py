"""The headroom in words: what oracle, average policy and scratch say about a family, and what makes it unreliable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from numpy import ndarray

from metarl.core.numbers import number_text
from metarl.evaluation.statistics import pooled

ORACLE, AVERAGE, SCRATCH, UNTRAINED, REFERENCE = "oracle", "average", "scratch", "untrained", "reference"

NEGLIGIBLE = 0.02
"""Share of what training gained below which a difference between oracle and average policy counts as none."""
RISING = 0.05
"""Share of what a method gained in training above which its gain in the last quarter counts as rising."""
SIZABLE = 0.1
"""Share of the headroom below which such a gain is not remarked upon."""

Scores = Float[ndarray, "seeds tasks"]


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval, the widest that the data allow: for new tasks and seeds, or for one of them."""

    mean: float | None
    low: float | None
    high: float | None
    interval: str

    @staticmethod
    def of(scores: Scores, ids: Sequence[int]) -> Estimate:
        """The mean over training seeds and distinct tasks."""
        found = pooled(scores[..., None], "mean", ids)
        kind = "new_tasks" if found["new_tasks_low"][0] is not None else "ci95"
        about = found["new_tasks_interval" if kind == "new_tasks" else "interval"]
        return Estimate(found["mean"][0], found[f"{kind}_low"][0], found[f"{kind}_high"][0], about)

    def __str__(self) -> str:
        if self.mean is None or self.low is None or self.high is None:
            return number_text(self.mean)
        half = (self.high - self.low) / 2
        return f"{number_text(self.mean)} +- {half:.{2 if abs(self.mean) > 1 else 4}f}"


def verdict(
    bound: str, headroom: Estimate, returns: Mapping[str, Estimate], parameters: Sequence[tuple[str, Estimate]]
) -> str:
    """What the headroom says, in a sentence."""
    oracle = "the oracle" if bound == ORACLE else "the exact optimum of known tasks"
    best, average, untrained = (returns[method].mean for method in (bound, AVERAGE, UNTRAINED))
    if headroom.mean is None or best is None or average is None or untrained is None:
        return "nothing can be said: a return is not finite."
    gained = max(best, average) - untrained
    if gained <= 0:
        return "nothing can be said: training raised no return above that of random parameters (--iterations, --lr)."
    low, high = (headroom.mean if end is None else end for end in (headroom.low, headroom.high))
    if low <= 0 <= high or abs(headroom.mean) < NEGLIGIBLE * gained:
        why = (
            "an interval with zero inside"
            if low <= 0 <= high
            else f"less than {100 * NEGLIGIBLE:g} % of the {number_text(gained)} gained in training"
        )
        return (
            f"adaptation has nothing to gain that shows: {oracle} less the best average policy is {headroom} of "
            f"return, {why}."
        )
    if headroom.mean < 0:
        return (
            f"nothing can be said: {oracle} ends {number_text(-headroom.mean)} below the average policy, which sees "
            "less; train for longer (--iterations)."
        )
    matter = [name for name, drop in parameters if _shows(drop, NEGLIGIBLE * gained)]
    which = f"what matters: {', '.join(matter)}" if matter else "no single parameter's effect on the oracle shows"
    ends = f"from {number_text(average)} (best average policy) to {number_text(best)} ({oracle})"
    return f"adaptation can gain at most {headroom} of return, {ends}; {which}."


def _shows(drop: Estimate, least: float) -> bool:
    """Whether a drop is above zero beyond its interval; above `least` where there is no interval."""
    return drop.low > 0 if drop.low is not None else (drop.mean or 0.0) > least


def remarks(
    scores: dict[str, Scores], ids: Sequence[int], curves: Mapping[str, ndarray], headroom: Estimate
) -> Iterator[str]:
    """What makes the headroom unreliable."""
    beyond = Estimate.of(scores[SCRATCH] - scores[ORACLE], ids)
    if beyond.low is not None and beyond.low > 0:
        yield f"scratch exceeds the trained oracle by {beyond}, so the oracle is not trained to its end"
    for method, curve in curves.items():
        means = curve.mean(1)
        quarter = len(means) // 4
        if method == SCRATCH or quarter < 2:
            continue
        last, before = means[-quarter:].mean(), means[-2 * quarter : -quarter].mean()
        little = max(RISING * (means.max() - means[:quarter].mean()), SIZABLE * abs(headroom.mean or 0.0))
        if last - before > little:
            effect = "underestimates the headroom" if method == ORACLE else "overestimates the headroom"
            yield f"{method} still rises, by {number_text(last - before)} in the last quarter, which {effect}"

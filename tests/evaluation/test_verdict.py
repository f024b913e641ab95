"""The sentences about a headroom, for every kind of result."""

import numpy as np
import pytest

from metarl.evaluation.verdict import AVERAGE, ORACLE, SCRATCH, UNTRAINED, Estimate, remarks, verdict


def estimate(mean, half=0.1):
    return Estimate(mean, mean - half, mean + half, "over tasks")


@pytest.mark.parametrize(
    ("oracle", "average", "untrained", "says"),
    [
        (
            10.0,
            4.0,
            0.0,
            "adaptation can gain at most 6.00 +- 0.10 of return, from 4.00 (best average policy) to 10.00",
        ),
        (4.05, 4.0, 0.0, "adaptation has nothing to gain that shows: the oracle less the best average policy is 0.05"),
        (2.5, 4.0, 0.0, "nothing can be said: the oracle ends 1.50 below the average policy"),
        (4.15, 4.0, -96.0, "adaptation has nothing to gain that shows"),  # beyond its interval, but 0.15 % of 100
        (4.0, 3.0, 5.0, "nothing can be said: training raised no return"),
    ],
)
def test_verdicts(oracle, average, untrained, says):
    returns = {ORACLE: estimate(oracle), AVERAGE: estimate(average), UNTRAINED: estimate(untrained)}
    assert verdict(ORACLE, estimate(oracle - average), returns, [("at", estimate(1.0))]).startswith(says)


def test_remarks_tell_of_training_that_has_not_ended():
    rising, level = np.arange(40.0)[:, None], np.ones((40, 1))
    scores = {ORACLE: np.array([[1.0, 1.1, 0.9]]), SCRATCH: np.array([[3.0, 3.1, 2.9]])}
    curves = {ORACLE: rising, AVERAGE: level, SCRATCH: rising}
    beyond, rises = remarks(scores, [0, 1, 2], curves, estimate(5.0))
    assert beyond.startswith("scratch exceeds the trained oracle by 2.00")
    assert rises == "oracle still rises, by 10.00 in the last quarter, which underestimates the headroom"
    assert list(remarks({**scores, SCRATCH: scores[ORACLE]}, [0, 1, 2], {ORACLE: level}, estimate(5.0))) == []

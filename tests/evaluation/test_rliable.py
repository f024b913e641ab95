"""The comparison's statistics against rliable, which Agarwal et al. (2021) published; runs where it is installed."""

import numpy as np
import pytest

from metarl.evaluation.statistics import interquartile_mean, probability_of_improvement

metrics = pytest.importorskip(
    "rliable.metrics", reason="compared where it is installed: pip install rliable 'pandas<3'"
)


@pytest.fixture
def scores():
    """Five seeds of twelve tasks that differ in their level, for two methods."""
    rng = np.random.default_rng(3)
    level = rng.normal(0, 3, 12)
    return rng.normal(level, 1.0, (5, 12)), rng.normal(level + 0.4, 2.0, (5, 12))


def test_interquartile_mean(scores):
    for values in scores:
        assert interquartile_mean(values.reshape(-1)) == pytest.approx(metrics.aggregate_iqm(values), abs=1e-12)


def test_probability_of_improvement(scores):
    ours, theirs = scores
    assert probability_of_improvement(ours, theirs)["p"] == pytest.approx(
        metrics.probability_of_improvement(ours, theirs), abs=1e-12
    )

import json
import math

import numpy as np
import pytest
from scipy import stats

from metarl.evaluation.statistics import (
    interquartile_mean,
    probability_of_improvement,
    stratified_intervals,
    summarise,
    worse_after_adaptation,
)


def test_probability_of_improvement_by_hand():
    ours = np.array([[3.0, 0.0], [5.0, 0.0]])
    theirs = np.array([[1.0, 0.0], [4.0, 1.0]])
    # First task: 3 of 4 pairs won. Second: two ties and two losses.
    assert probability_of_improvement(ours, theirs) == pytest.approx((0.75 + 0.25) / 2)
    assert probability_of_improvement(ours, theirs) + probability_of_improvement(theirs, ours) == pytest.approx(1)


def test_intervals_are_drawn_within_each_task():
    """Tasks that differ wildly but seeds that agree leave nothing uncertain."""
    tasks = np.linspace(-50, 50, 8)
    agreed = np.broadcast_to(tasks[None, :, None], (3, 8, 1))
    low, high = stratified_intervals(agreed, resamples=50)
    assert low.tolist() == high.tolist() == pytest.approx([0.0])
    low, high = stratified_intervals(agreed + np.array([-1.0, 0.0, 1.0])[:, None, None], resamples=400)
    assert low[0] < 0 < high[0]
    assert low[0] > -1
    assert high[0] < 1


def test_interquartile_mean_by_hand():
    assert interquartile_mean(np.array([100.0, 1, 2, 3, 4, 5, 6, -100])) == pytest.approx(3.5)
    assert interquartile_mean(np.array([[0.0, 1], [2, 3], [4, 5], [60, 70]])).tolist() == [3, 4]


def test_summary_by_hand():
    per_task = np.array([[1.0, 10], [2, 10], [3, 10], [6, 10]])
    found = summarise(per_task)
    assert found["mean"] == [3, 10]
    assert found["iqm"] == [2.5, 10]
    assert found["standard_error"] == pytest.approx([stats.sem(per_task[:, 0]), 0])
    assert found["ci95_low"][0] < 2.5 < found["ci95_high"][0]
    assert (found["ci95_low"][1], found["ci95_high"][1]) == (10, 10)


def test_interval_covers_as_it_should():
    """The 95 % interval of the interquartile mean holds the true one in most of 200 samples of 40 tasks."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        found = summarise(rng.normal(3, 1, (40, 1)), resamples=300)
        covered += found["ci95_low"][0] <= 3 <= found["ci95_high"][0]
    assert 178 <= covered <= 199


def test_values_that_are_not_finite_are_null():
    found = summarise(np.array([[1.0, math.nan], [2.0, 1.0]]))
    assert found["mean"] == [1.5, None]
    assert found["ci95_low"] == [None, None]
    single = summarise(np.array([[1.0, 2.0]]))
    assert single["mean"] == [1, 2]
    assert single["standard_error"] == [None, None]
    assert json.dumps(single)
    assert worse_after_adaptation(np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])) == 1

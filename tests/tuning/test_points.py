"""Points of a search of one's own: each is scored once, also by the next process."""

import math

import pytest

from metarl.core.errors import Divergence, RunError
from metarl.tuning.points import Points
from metarl.tuning.space import Range

SPACE = {"outer": Range(1e-4, 1e2, log=True), "inner": Range(1e-4, 1e2, log=True)}


def test_a_point_is_scored_once(tmp_path):
    asked = []

    def score(values):
        asked.append(values["outer"])
        if values["outer"] > 1:
            raise Divergence("theta")
        return -values["outer"]

    points = Points(tmp_path / "study", SPACE, {"method": "MAML"}, score)
    third = 0.009 / 3
    assert points({"outer": third, "inner": 0.1}) == -third
    assert points({"outer": 3.0, "inner": 0.1}) == -math.inf
    assert points({"outer": third, "inner": 0.2}) == -third
    again = Points(tmp_path / "study", SPACE, {"method": "MAML"}, score)
    assert again({"outer": 3.0, "inner": 0.1}) == -math.inf
    assert again({"outer": third, "inner": 0.1}) == -third
    assert asked == [third, 3.0, third]
    with pytest.raises(RunError, match="its method is 'MAML' there and 'ProMP' here"):
        Points(tmp_path / "study", SPACE, {"method": "ProMP"}, score)


def test_a_point_that_a_killed_process_left_is_scored_first(tmp_path):
    asked = []

    def killed(values):
        raise KeyboardInterrupt

    def score(values):
        asked.append(values["outer"])
        return 1.0

    with pytest.raises(KeyboardInterrupt):
        Points(tmp_path / "study", SPACE, {}, killed)({"outer": 0.1, "inner": 0.1})
    assert Points(tmp_path / "study", SPACE, {}, score)({"outer": 0.2, "inner": 0.1}) == 1.0
    assert asked == [0.1, 0.2]

from dataclasses import replace

from metarl.training.start import train
from tests.helpers import rank_cases
from tests.helpers.runs import differences


def test_ordered_sums_differ_from_batched_ones_by_rounding(tmp_path):
    algorithm, config = rank_cases.CASES["ordered-maml-trpo"]
    train(algorithm, config, tmp_path / "ordered")
    train(algorithm, replace(config, ordered_sums=False), tmp_path / "batched")
    assert 0 < differences(tmp_path / "ordered", tmp_path / "batched") < 1e-10

from dataclasses import replace

import pytest

from metarl.runs.directory import read_metrics
from metarl.training.start import train
from tests.helpers.runs import differences, timeless

SEEDS = (3, 1, 8)


def check_each_alone(tmp_path, algorithm, config, runs, tolerance=1e-6, **options):
    for run in runs:
        seed, alone = int(run.name.removeprefix("seed-")), tmp_path / f"alone-{run.name}"
        train(algorithm, replace(config, seed=seed), alone, **options)
        assert differences(alone, run) < tolerance, seed
        for one, other in zip(map(timeless, read_metrics(alone)), map(timeless, read_metrics(run)), strict=True):
            assert one.keys() == other.keys()
            for name in one.keys() & {"iteration", "environment_steps", "examples", "line_search"}:
                assert one[name] == other[name], name
            assert other["outer_loss" if "outer_loss" in one else "difference_norm"] == pytest.approx(
                one["outer_loss" if "outer_loss" in one else "difference_norm"], rel=1e-3, abs=1e-6
            )

"""Every family that ships can be trained on and evaluated."""

import math

import pytest

import metarl
from metarl.families.ids.installed import registered
from tests.helpers.families import load_or_skip


@pytest.mark.parametrize("name", sorted(registered()))
def test_an_iteration_and_an_evaluation(name, tmp_path):
    family = load_or_skip(name)
    run = metarl.train(
        "maml-trpo", family=name, run_dir=tmp_path / "run", iterations=1, meta_batch_size=2, episodes=4,
        validation_tasks=0, policy={"hidden_sizes": (8,)},
    )  # fmt: skip
    for split in family.splits.names:
        result = metarl.evaluate(run, split=split, tasks=2, episodes=3, steps=1)
        assert all(math.isfinite(value) for value in result["return"]["mean"])

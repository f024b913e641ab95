from dataclasses import replace

import pytest

from benchmarks.fewshot.configs import KINDS, default_config
from metarl.training.seeds import train_seeds
from tests.helpers.seeds import SEEDS, check_each_alone


@pytest.mark.parametrize("method", ["maml", "reptile", "pretrain"])
def test_supervised_seeds_are_one_batch_too(tmp_path, method):
    kind = KINDS["sinusoid"]
    config = replace(
        default_config("sinusoid", method), iterations=5, meta_batch_size=4, validation_tasks=3, dtype="float64"
    )
    runs = dict(train_seeds(method, config, SEEDS, tmp_path / "many", kind))
    check_each_alone(tmp_path, method, config, runs, kind=kind)

from dataclasses import replace

import pytest

from metarl.core.errors import ConfigError
from metarl.core.ranks import (
    use_ranks,
)
from metarl.training.start import train
from tests.helpers import rank_cases
from tests.helpers.processes import Numbered


def test_fewer_tasks_than_processes_are_refused(tmp_path):
    config = replace(rank_cases.CASES["maml"][1], meta_batch_size=1)
    with use_ranks(Numbered(0, 2)), pytest.raises(ConfigError, match="--meta-batch-size = 1; expected at least 2"):
        train("maml", config, tmp_path / "run")
    assert not (tmp_path / "run").exists()

from dataclasses import replace

import pytest

from metarl.core.errors import Divergence, EnvironmentFault
from metarl.runs.manifest import list_checkpoints
from metarl.training.start import resume, train


def test_divergence_stops_and_keeps_the_last_checkpoint(tmp_path, tiny_config):
    run = tmp_path / "run"
    config = replace(tiny_config, iterations=1)
    train("maml-trpo", config, run)
    (run / "config.toml").write_text((run / "config.toml").read_text().replace("lr = 0.3", "lr = 1e30"))
    before = (run / "checkpoints" / "00000001" / "theta.safetensors").read_bytes()
    with pytest.raises((Divergence, EnvironmentFault), match="iteration 2"):
        resume(run, iterations=2)
    assert list(list_checkpoints(run)) == [1]
    assert (run / "checkpoints" / "00000001" / "theta.safetensors").read_bytes() == before

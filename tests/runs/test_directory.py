from dataclasses import replace

import pytest

from metarl.core.errors import ConfigError, RunError
from metarl.training.start import resume, train


def test_damaged_configurations_are_refused(tmp_path, tiny_config):
    run = tmp_path / "run"
    train("maml-trpo", replace(tiny_config, iterations=1), run)
    text = (run / "config.toml").read_text()
    (run / "config.toml").write_text(text.replace("lr = 0.3", 'lr = "fast"'))
    with pytest.raises(ConfigError, match=r"config.toml: inner.lr = 'fast'"):
        resume(run)
    (run / "config.toml").write_text(text.replace("hidden_sizes = [\n    8,\n]", "hidden_sizes = [9]"))
    with pytest.raises(RunError, match=r"hidden.0.weight has shape \(8, 2\); the model has \(9, 2\)"):
        resume(run, iterations=2)

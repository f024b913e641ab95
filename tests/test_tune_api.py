"""`metarl.tune`."""

import pytest

import metarl
from metarl.config.algorithms import MamlConfig
from metarl.core.errors import ConfigError
from tests.helpers.tuning import scored


def test_from_python(tmp_path, monkeypatch):
    monkeypatch.setattr("metarl.tuning.trial.scores_by_checkpoint", scored(lambda config, _: -config.inner.lr))
    lines: list[str] = []
    found = metarl.tune(
        "maml", study_dir=tmp_path / "a", family="navigation2d", search={"inner.lr": [0.3, 0.2, 0.1]}, sampler="grid",
        iterations=5, seeds=[5], report=lines.append,
    )  # fmt: skip
    assert (found["best"]["options"], len(lines)) == ({"inner.lr": 0.1}, 3)
    found = metarl.tune("maml", study_dir=tmp_path / "b", config=MamlConfig(iterations=5), trials=2, adam={"lr": 1e-3})
    assert list(found["space"]) == ["inner.lr"]
    with pytest.raises(ConfigError, match="expected one or the other"):
        metarl.tune("maml", study_dir=tmp_path / "c", config=MamlConfig(), family="navigation2d")
    with pytest.raises(ConfigError, match=r"search: inner\.lrr: unknown option"):
        metarl.tune("maml", study_dir=tmp_path / "c", search={"inner.lrr": "1:2"})


def test_a_family_without_a_name(tmp_path, monkeypatch):
    from gymnasium.spaces import Box, Dict

    family = metarl.declare_family("Pendulum-v1", Dict({"g": Box(5.0, 15.0, ())}), name="swings")
    monkeypatch.setattr("metarl.tuning.trial.scores_by_checkpoint", scored(lambda config, _: 1.0))
    metarl.tune("maml", study_dir=tmp_path / "a", family=family, trials=1)
    assert "family" not in (tmp_path / "a" / "preset.toml").read_text()

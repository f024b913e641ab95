from pathlib import Path

import pytest
import tomli_w

from metarl.config.algorithms import MamlTrpoConfig
from metarl.config.toml import from_mapping, load_preset, preset_for, presets, read_toml, to_mapping
from metarl.config.validation import validate
from metarl.core.errors import ConfigError


def test_presets_are_shipped_beside_the_code():
    from metarl.config import toml

    assert all(Path(p).is_relative_to(Path(toml.__file__).parent) for p in toml.presets().values())


def test_configurations_survive_toml(tmp_path):

    config = from_mapping(
        MamlTrpoConfig(), {"seed": 7, "inner": {"lr": 1, "steps": 2}, "policy": {"hidden_sizes": [3]}}, "x"
    )
    assert (config.seed, config.inner.lr, config.policy.hidden_sizes) == (7, 1.0, (3,))
    path = tmp_path / "c.toml"
    path.write_text(tomli_w.dumps(to_mapping(config)))
    assert from_mapping(MamlTrpoConfig(), read_toml(path), str(path)) == config


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"sed": 1}, "file.toml: unknown key 'sed'; did you mean 'seed'"),
        ({"inner": {"lrr": 1.0}}, "file.toml: unknown key 'inner.lrr'"),
        ({"seed": "1"}, "file.toml: seed = '1'; expected a whole number"),
        ({"seed": True}, "file.toml: seed = True; expected a whole number"),
        ({"inner": 3}, "file.toml: inner = 3; expected a table"),
        ({"inner": {"lr": "fast"}}, "file.toml: inner.lr = 'fast'; expected a number"),
        (
            {"policy": {"activation": "tan"}},
            "file.toml: policy.activation = 'tan'; expected one of 'tanh', 'relu'",
        ),
        ({"policy": {"hidden_sizes": [1.5]}}, "expected a list of whole numbers"),
        ({"observe_task": 1}, "expected true or false"),
    ],
)
def test_a_bad_file_is_explained(mapping, message):
    with pytest.raises(ConfigError) as caught:
        from_mapping(MamlTrpoConfig(), mapping, "file.toml")
    assert message in str(caught.value)


SHORTER = {"duan16-n100-k5": "duan16-n10-k5", "duan16-mdp-n25": "duan16-mdp-n10"}
"""Presets of longer trials, and those of the same family and variant that apply without --config."""


def test_presets_load_and_are_found_by_what_they_are_for():
    assert {"finn17-navigation2d", "raw-action-navigation2d", "wide-navigation2d"} <= set(presets())
    for name, path in presets().items():
        mapping = read_toml(path)
        config, _ = load_preset(mapping["algorithm"], name)
        validate(config, name)
        assert preset_for(mapping["algorithm"], config.family, config.variant) == SHORTER.get(name, name)
    assert preset_for("maml-trpo", "navigation2d", "narrow") is None


def test_the_finn17_preset_is_the_published_protocol():
    config, _ = load_preset("maml-trpo", "finn17-navigation2d")
    assert (config.iterations, config.meta_batch_size, config.samples_per_step) == (100, 20, 2000)
    assert (config.inner.lr, config.inner.later_lr, config.inner.steps) == (0.5, 0.25, 1)
    assert (config.policy.hidden_sizes, config.policy.activation) == ((100, 100), "relu")
    assert (config.gamma, config.gae_lambda, config.trust_region.max_kl) == (0.99, 1.0, 0.01)


def test_presets_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'finn17-navigation2d'"):
        load_preset("maml-trpo", "finn-navigation2d")
    path = tmp_path / "x.toml"
    path.write_text("seed = [")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_preset("maml-trpo", str(path))
    path.write_text('algorithm = "reptile"')
    with pytest.raises(ConfigError, match="expected 'maml-trpo'"):
        load_preset("maml-trpo", str(path))

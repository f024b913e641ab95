import tomllib
from dataclasses import dataclass, field, replace

import pytest
import tomli_w

from metarl.config.algorithms import MamlTrpoConfig
from metarl.config.registry import ALGORITHMS
from metarl.config.run import InnerConfig
from metarl.core.errors import ConfigError, RunError
from metarl.runs.directory import create, read_config
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


@dataclass(frozen=True)
class Later(MamlTrpoConfig):
    """The algorithm in a version to come, which has a budget in samples and another rate of later steps by default."""

    samples_per_step: int | None = 777
    inner: InnerConfig = field(default_factory=lambda: InnerConfig(later_lr=0.125))


def test_a_default_that_changes_later_does_not_change_an_old_run(tmp_path, tiny_config, monkeypatch):
    train("maml-trpo", replace(tiny_config, iterations=1), tmp_path / "run")
    text = (tmp_path / "run" / "config.toml").read_text()
    unset = tomllib.loads(text)["unset"]
    assert {"samples_per_step", "inner.later_lr", "initialise_from"} <= set(unset)
    assert "variant" not in unset
    known = ALGORITHMS["maml-trpo"]
    monkeypatch.setitem(ALGORITHMS, "maml-trpo", known._replace(config=Later))
    _, config = read_config(tmp_path / "run")
    assert (config.samples_per_step, config.inner.later_lr, config.inner.lr) == (None, None, 0.3)
    # A file that names no option without a value, as older versions wrote them, takes what is the default now.
    mapping = {name: value for name, value in tomllib.loads(text).items() if name != "unset"}
    (tmp_path / "run" / "config.toml").write_text(tomli_w.dumps(mapping))
    _, config = read_config(tmp_path / "run")
    assert (config.samples_per_step, config.inner.later_lr) == (777, 0.125)


@pytest.mark.parametrize(
    ("unset", "message"),
    [
        ("[1]", r"config\.toml: unset = \[1\]; expected a list of option names"),
        ('"inner.later_lr"', r"config\.toml: unset = 'inner.later_lr'; expected a list of option names"),
        ('["inner.later"]', r"config\.toml: unknown key 'inner\.later'"),
        ('["seed"]', r"config\.toml: seed = None; expected a whole number"),
        ('["inner", "inner.later_lr"]', r"config\.toml: unset: 'inner\.later_lr' is no option"),
    ],
)
def test_a_list_of_unset_options_that_is_none_is_refused(tmp_path, tiny_config, unset, message):
    run = tmp_path / "run"
    create(run, "maml-trpo", tiny_config).release()
    text = (run / "config.toml").read_text()
    start, end = text.index("unset = ["), text.index("]\n") + 2
    (run / "config.toml").write_text(text[:start] + f"unset = {unset}\n" + text[end:])
    with pytest.raises(ConfigError, match=message):
        read_config(run)

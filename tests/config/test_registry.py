import pytest

from metarl.config.registry import ALGORITHMS, find_algorithm
from metarl.config.run import fields_of
from metarl.config.validation import validate
from metarl.core.errors import ConfigError


def test_defaults_are_valid_and_every_option_is_described():
    for algorithm in ALGORITHMS.values():
        validate(algorithm.config())
        assert "inner.lr" in fields_of(algorithm.config)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("class Update: pass", "expected a dataclass that extends"),
        ("from metarl.config import TrainConfig\nclass Update(TrainConfig): pass", "has no function 'initial_state'"),
        (
            "from metarl.config import TrainConfig\ndef initial_state(t, c): ...\nclass Update(TrainConfig): pass",
            "has no function 'meta_step'",
        ),
        ("class Updates: pass", "has no 'Update'.*did you mean 'Updates'"),
        ("1 / 0", "importing broken_update raised ZeroDivisionError"),
    ],
)
def test_what_is_no_outer_update_is_refused(written, source, message):
    (written / "broken_update.py").write_text(source)
    with pytest.raises(ConfigError, match=rf"algorithm 'broken_update:Update': .*{message}"):
        find_algorithm("broken_update:Update")

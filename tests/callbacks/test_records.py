"""Records as flat numbers, and what loggers note about a run."""

from metarl.callbacks.records import recall, remember, scalars


def test_names_have_dots_and_what_has_no_value_is_left_out():
    record = {"return": [-3.0, None, 2], "seconds": {"collect": 0.5}, "name": "x", "kl": None}
    assert scalars(record, "a.") == {"a.return.0": -3.0, "a.return.2": 2, "a.seconds.collect": 0.5}


def test_notes_are_kept_for_each_logger_and_damaged_ones_forgotten(tmp_path):
    remember(tmp_path, "wandb", "abc")
    remember(tmp_path, "mlflow", "def")
    assert (recall(tmp_path, "wandb"), recall(tmp_path, "mlflow"), recall(tmp_path, "csv")) == ("abc", "def", None)
    (tmp_path / "tracking.json").write_text("[1")
    assert recall(tmp_path, "wandb") is None

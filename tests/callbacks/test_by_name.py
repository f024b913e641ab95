"""Loggers by name, and on the command line."""

import pytest

from metarl.callbacks import loggers
from metarl.cli import main
from metarl.core.errors import ConfigError


def test_names_are_checked():
    assert [type(logger).__name__ for logger in loggers(["csv"])] == ["CsvLogger"]
    with pytest.raises(ConfigError, match=r"--log = cvs; expected names of loggers.*did you mean 'csv'"):
        loggers(["cvs"])
    with pytest.raises(ConfigError, match="--log = csv csv; expected each logger once"):
        loggers(["csv", "csv"])


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setattr("metarl.callbacks.records.find_spec", lambda name: None)
    for name in ("wandb", "mlflow"):
        with pytest.raises(ConfigError, match=rf"logger {name}: needs {name}; install it with pip install"):
            loggers([name])


def test_the_command_line(tmp_path, capsys):
    """Loggers of a run and of several seeds, and of a run that is resumed."""
    small = ["--meta-batch-size", "2", "--episodes", "2", "--validation-tasks", "0", "--iterations", "2"]
    line = ["train", "maml", "--family", "navigation2d", *small, "--log", "csv", "--run-dir", str(tmp_path / "run")]
    assert main(line) == 0
    assert len((tmp_path / "run" / "metrics.csv").read_text().splitlines()) == 3
    assert main(["resume", str(tmp_path / "run"), "--iterations", "3", "--extend-schedule", "--log", "csv"]) == 0
    assert len((tmp_path / "run" / "metrics.csv").read_text().splitlines()) == 4
    assert main([*line[:-1], str(tmp_path / "many"), "--seeds", "1", "2"]) == 0
    assert len((tmp_path / "many" / "seed-2" / "metrics.csv").read_text().splitlines()) == 3
    assert main([*line[:-1], str(tmp_path / "other"), "--log", "excel"]) == 2
    assert "--log = excel; expected names of loggers" in capsys.readouterr().err

"""Runs of the tables."""

import signal
from dataclasses import replace

import pytest

from benchmarks.results import finished_run as module
from benchmarks.results.finished_run import finished_run
from metarl.runs.directory import read_metrics
from metarl.training.start import train
from tests.helpers.runs import assert_same_run


def test_a_begun_run_is_finished_and_a_finished_one_used(tmp_path, tiny_config, monkeypatch):
    config = replace(tiny_config, checkpoint_every=1)

    def stop(record):
        if record["iteration"] == 2:
            signal.raise_signal(signal.SIGINT)

    begun = train("maml-trpo", config, tmp_path / "begun", report=stop)
    assert (begun.signal, len(read_metrics(tmp_path / "begun"))) == (signal.SIGINT, 2)
    for name in ("begun", "whole"):
        assert finished_run(tmp_path / name, "maml-trpo", config) == tmp_path / name
    assert_same_run(tmp_path / "begun", tmp_path / "whole")
    monkeypatch.setattr("metarl.training.loop.Training.iterate", lambda self: pytest.fail("trained again"))
    finished_run(tmp_path / "whole", "maml-trpo", config)


def test_a_signal_ends_the_program(tmp_path, tiny_config):
    def stop(record):
        signal.raise_signal(signal.SIGTERM)

    with pytest.raises(SystemExit) as ended:
        module.finished_run(tmp_path / "run", "maml-trpo", tiny_config, stop)
    assert ended.value.code == 128 + signal.SIGTERM

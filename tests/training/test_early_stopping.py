"""Early stopping: by hand, and the same iteration for runs that were interrupted."""

import os
import signal

import pytest

import metarl
from metarl.config.run import EarlyStopConfig
from metarl.core.errors import ConfigError
from metarl.runs.manifest import list_checkpoints, read_manifest
from metarl.training.early_stopping import early_stop
from tests.helpers.callbacks import same_files, train


def test_patience_by_hand():
    scores = {2: -9.0, 4: -7.0, 6: -8.0, 8: -7.0, 10: None}
    stops = [early_stop({k: v for k, v in scores.items() if k <= n}, EarlyStopConfig(patience=2)) for n in scores]
    assert [stop is not None for stop in stops] == [False, False, False, True, True]
    assert stops[3] == "early stopping: no better score in 2 checkpoints; the best is -7 at iteration 4"
    assert early_stop(scores, EarlyStopConfig(patience=0)) is None
    assert early_stop(scores, EarlyStopConfig(patience=2, min_iterations=11)) is None
    assert early_stop(scores, EarlyStopConfig(patience=2), since=8) is None
    assert early_stop({2: -9.0, 4: -8.9, 6: -8.8}, EarlyStopConfig(patience=2, min_improvement=0.5)) is not None


def test_an_interrupted_run_stops_at_the_same_iteration(tmp_path):
    """An improvement that no score reaches: the run stops after the second score behind the first."""
    options = {"iterations": 9, "checkpoint_every": 1, "early_stop": {"patience": 2, "min_improvement": 1e6}}
    whole = train(tmp_path / "whole", **options)
    assert max(list_checkpoints(whole)) == 3
    with pytest.raises(SystemExit):
        train(tmp_path / "part", **options, callbacks=[Interrupt(2)])
    part = tmp_path / "part"
    assert max(list_checkpoints(part)) == 2
    metarl.resume(part)
    assert same_files(part, whole)
    stopped = read_manifest(list_checkpoints(whole)[3])["stopped"]
    assert stopped.startswith("early stopping: no better score in 2 checkpoints")
    assert metarl.resume(whole).iteration == 3
    assert metarl.resume(whole, iterations=9).iteration == 5


class Interrupt(metarl.Callback):
    def __init__(self, at):
        self.at = at

    def on_iteration(self, run):
        if run.iteration == self.at:
            os.kill(os.getpid(), signal.SIGTERM)


def test_it_needs_scores(tmp_path):
    with pytest.raises(ConfigError, match=r"early_stop\.patience"):
        train(tmp_path / "run", validation_tasks=0, early_stop={"patience": 2})

"""The runs of a trial are those of `metarl train`, whatever interrupts them."""

import os
import signal
from dataclasses import replace

import pytest

from metarl.core.errors import Divergence
from metarl.runs.manifest import list_checkpoints, scores_of
from metarl.training.start import train
from metarl.tuning.trial import Stopped, scores_by_checkpoint
from tests.helpers.runs import assert_same_run


def test_scores_are_those_of_the_checkpoints_and_runs_those_of_each_seed(base, whole_trial, tmp_path):
    found, folder = whole_trial
    train("maml", replace(base, seed=6), tmp_path / "plain")
    assert_same_run(folder / "seed-6", tmp_path / "plain")
    scores = scores_of(list_checkpoints(tmp_path / "plain"), print)
    assert {one.iteration: one.by_seed[1] for one in found} == scores
    assert list(scores) == [2, 4, 5]
    assert found[0].mean == sum(found[0].by_seed) / 2
    assert found[2].data_used > found[1].data_used > 0


def test_a_trial_goes_on_after_a_stop_between_iterations(base, whole_trial, tmp_path):
    whole, folder = whole_trial
    asked = iter([None, None, None, 15])
    stopped = scores_by_checkpoint(tmp_path / "trial", "maml", base, (5, 6), stop=lambda: next(asked))
    assert next(stopped).by_seed == whole[0].by_seed
    with pytest.raises(Stopped, match="signal 15"):
        next(stopped)
    # Seed 5 has the second checkpoint already, seed 6 has not.
    rest = list(scores_by_checkpoint(tmp_path / "trial", "maml", base, (5, 6), after=2))
    assert [scores.by_seed for scores in rest] == [scores.by_seed for scores in whole[1:]]
    assert_same_run(tmp_path / "trial" / "seed-6", folder / "seed-6")


@pytest.mark.parametrize("iteration", [3, 4])
def test_a_trial_goes_on_after_a_signal_within_an_iteration(base, whole_trial, tmp_path, monkeypatch, iteration):
    """Also after the very iteration of a checkpoint, which is then saved without a score."""
    from metarl.training.loop import Training

    whole, folder = whole_trial
    iterate = Training.iterate

    def interrupted(self):
        if self.iteration + 1 == iteration and self.config.seed == 6:
            os.kill(os.getpid(), signal.SIGINT)
        return iterate(self)

    monkeypatch.setattr(Training, "iterate", interrupted)
    with pytest.raises(Stopped, match="signal 2"):
        list(scores_by_checkpoint(tmp_path / "trial", "maml", base, (5, 6)))
    monkeypatch.setattr(Training, "iterate", iterate)
    rest = list(scores_by_checkpoint(tmp_path / "trial", "maml", base, (5, 6), after=2))
    assert [scores.by_seed for scores in rest] == [scores.by_seed for scores in whole[1:]]
    assert_same_run(tmp_path / "trial" / "seed-6", folder / "seed-6")


def test_an_error_names_the_seed(base, tmp_path, monkeypatch):
    with pytest.raises(Divergence, match="seed 5, iteration 1: log_std"):
        list(scores_by_checkpoint(tmp_path / "trial", "maml", replace(base, inner=replace(base.inner, lr=1e4)), (5,)))
    monkeypatch.setattr("metarl.training.validation.Validation.measure", lambda self, theta, iteration: None)
    with pytest.raises(Divergence, match="seed 5, iteration 2: no score"):
        list(scores_by_checkpoint(tmp_path / "none", "maml", base, (5,)))

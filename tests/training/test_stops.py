"""Ends that callbacks and early stopping ask for, with several processes and with several seeds in one batch."""

import json

import pytest

from metarl.callbacks import Callback, Callbacks
from metarl.config.run import EarlyStopConfig
from metarl.runs.listing import run_status
from metarl.runs.manifest import list_checkpoints, read_manifest
from metarl.training.seeds import train_seeds
from metarl.training.start import train
from tests.helpers.callback_cases import case
from tests.helpers.callbacks import same_files
from tests.helpers.processes import finish, launch
from tests.helpers.runs import differences


@pytest.mark.slow
def test_all_ranks_end_at_the_same_iteration_and_callbacks_run_in_the_first(tmp_path):
    finish(launch(2, "tests.helpers.callback_cases", tmp_path))
    first, second = (json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in (0, 1))
    assert first["stopped"] == [2, "callback AtTwo: enough", 2]
    assert second["stopped"] == [2, "callback AtTwo: enough", 0]
    assert first["left"] == second["left"] == 2
    assert first["continued"] == second["continued"] == 5
    assert first["broken"] == "callback AtTwo, on_iteration at iteration 2: ValueError: broken"
    assert second["broken"] == f"rank 0: {first['broken']}"
    assert first["early"] == second["early"] == [2, "early stopping: no better score in 1 checkpoints"]
    assert max(list_checkpoints(tmp_path / "broken")) == 2
    train(*case(), tmp_path / "whole")
    assert same_files(tmp_path / "stopped", tmp_path / "whole")


def test_a_seed_that_stops_leaves_the_batch_and_the_others_go_on(tmp_path):
    made = []

    class StopsTheFirst(Callback):
        def __init__(self):
            made.append(self)
            self.number, self.outcome = len(made), None

        def on_iteration(self, run):
            if self.number == 1 and run.iteration == 2:
                run.stop("enough")
            if self.number == 2 and run.iteration == 3:
                raise ValueError("broken")

        def on_end(self, run, outcome):
            self.outcome = outcome

    runs = train_seeds(*case("maml"), (3, 1, 8), tmp_path / "many", callbacks=lambda: Callbacks([StopsTheFirst()]))
    outcomes = {run.name: outcome for run, outcome in runs}
    assert [outcome.iteration for outcome in outcomes.values()] == [2, 3, 5]
    assert outcomes["seed-3"].stopped == "callback StopsTheFirst: enough"
    assert str(outcomes["seed-1"].error).endswith("ValueError: broken")
    assert [callback.outcome.iteration for callback in made] == [2, 3, 5]
    for seed, last in ((3, 2), (1, 3), (8, 5)):
        assert max(list_checkpoints(tmp_path / "many" / f"seed-{seed}")) == last
    algorithm, config = case("maml", seed=8)
    train(algorithm, config, tmp_path / "alone")
    assert differences(tmp_path / "many" / "seed-8", tmp_path / "alone") < 1e-6


def test_seeds_stop_early_each_by_its_own_scores(tmp_path):
    early = EarlyStopConfig(patience=1, min_improvement=1e6)
    for run, outcome in train_seeds(*case("maml", early_stop=early), (3, 1), tmp_path / "many"):
        assert outcome.iteration == 2
        assert read_manifest(list_checkpoints(run)[2])["stopped"] == outcome.stopped
        assert run_status(run).state == "ended early"

"""The protocol: what callbacks see at each event, and how they end a training."""

import json

import numpy as np
import pytest
import torch

import metarl
from metarl.callbacks import Callback
from metarl.core.errors import CallbackFault, ConfigError, RunError
from metarl.runs.checkpoint import load_newest
from metarl.runs.manifest import list_checkpoints, read_manifest
from tests.helpers.callbacks import OPTIONS, Notes, same_files, train


class StopAt(Callback):
    def __init__(self, iteration):
        self.at = iteration

    def on_iteration(self, run):
        if run.iteration == self.at:
            run.stop("far  enough\nfor a test")


class Raises(Callback):
    def __init__(self, event, at=2):
        self.event, self.at = event, at

    def __getattribute__(self, name):
        if name == object.__getattribute__(self, "event"):
            return self._raise
        return object.__getattribute__(self, name)

    def _raise(self, run, *more):
        if run.iteration >= self.at:
            raise ValueError("one\ntwo")


def test_events_in_order_and_what_they_show(tmp_path):
    notes = Notes()
    train(tmp_path / "run", callbacks=[notes])
    assert [(event, view.iteration) for event, view in notes.seen] == [
        ("start", 0), ("iteration", 1), ("iteration", 2), ("checkpoint", 2), ("iteration", 3), ("iteration", 4),
        ("checkpoint", 4), ("end", 4),
    ]  # fmt: skip
    views = dict(notes.seen[1:4][i] for i in (0, 2))
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert notes.seen[1][1].metrics == lines[0]
    saved = views["checkpoint"]
    manifest = read_manifest(list_checkpoints(tmp_path / "run")[2])
    assert saved.validation == manifest["meta_validation"]
    assert saved.scores == {2: manifest["meta_validation"]["score"]}
    assert (saved.algorithm, saved.total, saved.run_dir) == ("maml", 4, tmp_path / "run")
    assert notes.outcome.iteration == 4
    assert (notes.outcome.signal, notes.outcome.error, notes.outcome.stopped) == (None, None, None)


def test_bits_are_the_same_with_callbacks(tmp_path):
    class Disturbs(Callback):
        """Uses every global generator, changes torch's settings and what it is shown, and acts with an agent."""

        def on_iteration(self, run):
            torch.manual_seed(run.iteration)
            np.random.seed(run.iteration)
            torch.set_num_threads(1)
            torch.set_grad_enabled(False)
            agent = run.agent()
            for value in agent.params.values():
                value.zero_()
            dict(run.metrics).clear()

    train(tmp_path / "with", callbacks=[Disturbs()])
    train(tmp_path / "without")
    assert same_files(tmp_path / "with", tmp_path / "without")
    assert torch.is_grad_enabled()


def test_a_callback_ends_a_training_which_goes_on_exactly(tmp_path):
    """The reason is in the manifest; the run is complete until more iterations are asked for."""
    run = train(tmp_path / "stopped", callbacks=[StopAt(3)])
    folder = list_checkpoints(run)
    assert max(folder) == 3
    assert read_manifest(folder[3])["stopped"] == "callback StopAt: far enough for a test"
    outcome = metarl.resume(run)
    assert (outcome.iteration, outcome.stopped) == (3, "callback StopAt: far enough for a test")
    assert metarl.resume(run, iterations=4).iteration == 4
    assert same_files(run, train(tmp_path / "whole"))


@pytest.mark.parametrize("event", ["on_iteration", "on_checkpoint", "on_end"])
def test_a_callback_that_raises_is_named_and_nothing_is_lost(tmp_path, event):
    notes, run = Notes(), tmp_path / "run"
    with pytest.raises(
        CallbackFault, match=rf"^callback Raises, {event} at iteration \d: ValueError: one two$"
    ) as found:
        train(run, callbacks=[Raises(event), notes])
    assert isinstance(found.value.__cause__, ValueError)
    assert notes.seen[-1][0] == "end"
    metarl.resume(run)
    assert same_files(run, train(tmp_path / "whole"))


def test_a_start_that_raises_ends_it_before_anything_is_trained(tmp_path):
    with pytest.raises(CallbackFault, match="callback Raises, on_start at iteration 0"):
        train(tmp_path / "run", callbacks=[Raises("on_start", at=0)])
    assert list_checkpoints(tmp_path / "run") == {}


def test_an_agent_has_the_parameters_of_its_iteration(tmp_path):
    class Keeps(Callback):
        def on_checkpoint(self, run):
            self.agent = run.agent()

    keeps = Keeps()
    run = train(tmp_path / "run", callbacks=[keeps])
    theta = load_newest(run, torch.device("cpu"))[0]["theta"]
    for name, value in keeps.agent.params.items():
        torch.testing.assert_close(value, theta[name].cpu(), rtol=0, atol=0)
    env = metarl.load_family("navigation2d").make({"goal": np.float32([0.1, 0.2])})
    assert env.action_space.contains(keeps.agent.act(env.reset(seed=1)[0]))


def test_what_is_no_callback_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"callbacks\[0\] = <function .*; expected an instance of a metarl.Callback"):
        train(tmp_path / "run", callbacks=[test_what_is_no_callback_is_refused])


def test_models_without_agents_say_so():
    from pathlib import Path

    from metarl.callbacks import RunView

    view = RunView("maml", None, Path("runs/x"), 0, 1)
    with pytest.raises(RunError, match="runs/x: no agent: the model of maml is not a policy of metarl"):
        view.agent()
    assert OPTIONS["iterations"] == 4

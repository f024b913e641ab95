"""A training as callbacks see it: copies of the moment."""

import torch

import metarl
from tests.helpers.callbacks import train


def test_an_agent_asked_for_later_has_the_parameters_of_its_moment(tmp_path):
    class Keeps(metarl.Callback):
        def __init__(self):
            self.views = []

        def on_iteration(self, run):
            self.views.append(run)

    keeps = Keeps()
    train(tmp_path / "run", callbacks=[keeps])
    first, last = keeps.views[0].agent(), keeps.views[-1].agent()
    assert any(not torch.equal(first.params[name], last.params[name]) for name in first.params)
    assert [view.iteration for view in keeps.views] == [1, 2, 3, 4]
    assert {view.total for view in keeps.views} == {4}
    assert keeps.views[0].metrics["iteration"] == 1

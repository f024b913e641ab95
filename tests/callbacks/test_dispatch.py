"""Calls of callbacks: settings are restored, and errors at the end do not hide the one that ended training."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from metarl.callbacks import Callback, Callbacks, Outcome, RunView, undisturbed
from metarl.core.errors import CallbackFault, RunError

VIEW = RunView("maml", None, Path("runs/x"), 3, 4)


class Bad(Callback):
    def on_end(self, run, outcome):
        raise ValueError("late")


def test_settings_and_generators_are_restored():
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)
    expected = random.random(), np.random.rand(), float(torch.rand(()))
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)
    threads = torch.get_num_threads()
    with undisturbed():
        random.seed(9)
        np.random.rand(3)
        torch.rand(4)
        torch.set_num_threads(threads + 1)
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
    assert (random.random(), np.random.rand(), float(torch.rand(()))) == expected
    assert (torch.get_num_threads(), torch.get_default_dtype()) == (threads, torch.float32)
    assert torch.is_grad_enabled()


def test_an_error_at_the_end_counts_only_if_there_is_no_other():
    alone = Callbacks([Bad()])
    alone.start(VIEW)
    alone.end(VIEW, Outcome(3))
    assert isinstance(alone.fault, CallbackFault)
    after = Callbacks([Bad()])
    after.start(VIEW)
    with pytest.warns(UserWarning, match="callback Bad, on_end at iteration 3: ValueError: late"):
        after.end(VIEW, Outcome(3, error=RunError("first")))
    assert after.fault is None


def test_the_first_that_asks_is_the_one_that_counts():
    class Stops(Callback):
        def __init__(self, reason):
            self.reason = reason

        def on_iteration(self, run):
            run.stop(self.reason)

    both = Callbacks([Stops("one"), Stops("two")])
    both.start(VIEW)
    both.iteration(VIEW)
    assert both.stop == "callback Stops: one"

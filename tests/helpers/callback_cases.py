"""Trainings that callbacks end, for torchrun: `python -m tests.helpers.callback_cases OUT` in every rank."""

import json
import sys
from dataclasses import replace
from pathlib import Path

from metarl.callbacks import Callback, Callbacks
from metarl.config.run import EarlyStopConfig
from metarl.core.errors import CallbackFault
from metarl.core.launch import leave
from metarl.core.ranks import current, process_group
from metarl.training.start import resume, train
from tests.helpers import rank_cases


class AtTwo(Callback):
    """Stops or raises at the second iteration, and counts its calls."""

    def __init__(self, raises=False):
        self.raises, self.calls = raises, 0

    def on_iteration(self, run):
        self.calls += 1
        if run.iteration == 2 and self.raises:
            raise ValueError("broken")
        if run.iteration == 2:
            run.stop("enough")


def case(name="ordered-maml", **changes):
    algorithm, config = rank_cases.CASES[name]
    return algorithm, replace(config, **{"iterations": 5, "checkpoint_every": 1} | changes)


def main(out):
    """Train; every rank writes down what it was told."""
    found = {}
    with process_group("cpu", 60):
        stops, broken = AtTwo(), AtTwo(raises=True)
        outcome = train(*case(), out / "stopped", callbacks=Callbacks([stops]))
        found["stopped"] = [outcome.iteration, outcome.stopped, stops.calls]
        found["left"] = resume(out / "stopped").iteration
        found["continued"] = resume(out / "stopped", iterations=5).iteration
        try:
            train(*case(), out / "broken", callbacks=Callbacks([broken]))
        except CallbackFault as fault:
            found["broken"] = str(fault)
        early = EarlyStopConfig(patience=1, min_improvement=1e6)
        outcome = train(*case(early_stop=early), out / "early")
        found["early"] = [outcome.iteration, str(outcome.stopped).split(";")[0]]
        (out / f"rank-{current().index}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    leave(0)

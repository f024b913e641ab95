"""A small training for tests of callbacks, a callback that takes notes, and the comparison of two runs."""

import metarl
from metarl.callbacks import Callback
from metarl.runs.manifest import list_checkpoints

OPTIONS = {
    "iterations": 4, "meta_batch_size": 2, "episodes": 2, "checkpoint_every": 2, "validation_tasks": 2, "seed": 3,
    "policy": {"hidden_sizes": (8,)},
}  # fmt: skip


class Notes(Callback):
    def __init__(self):
        self.seen, self.outcome = [], None

    def on_start(self, run):
        self.seen.append(("start", run))

    def on_iteration(self, run):
        self.seen.append(("iteration", run))

    def on_checkpoint(self, run):
        self.seen.append(("checkpoint", run))

    def on_end(self, run, outcome):
        self.seen.append(("end", run))
        self.outcome = outcome


def train(run, callbacks=(), **options):
    return metarl.train("maml", family="navigation2d", run_dir=run, callbacks=callbacks, **{**OPTIONS, **options})


def same_files(one, other):
    """Whether two runs ended at the same iteration with the same bits."""
    left, right = (list_checkpoints(run) for run in (one, other))
    last = max(left)
    return last == max(right) and all(
        (left[last] / path.name).read_bytes() == path.read_bytes()
        for path in right[last].iterdir()
        if path.name != "manifest.json"
    )

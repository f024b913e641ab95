"""Weights & Biases, the extra `wandb`. Imports wandb only on use."""

from __future__ import annotations

import os
from typing import Any
from uuid import uuid4

from metarl.callbacks.callback import Callback, Outcome, RunView
from metarl.callbacks.records import need, recall, remember, scalars
from metarl.config.toml import flat_mapping

PROJECT = "metarl"


class WandbLogger(Callback):
    """Log metrics, scores and configuration to Weights & Biases, with the iteration as step.

    A resumed run continues the same run there. Its files are in the run directory. `WANDB_MODE=offline` needs no
    network; `wandb sync` uploads such a run later.

    Args:
        project: The project (default: the variable WANDB_PROJECT, or "metarl").
        **options: Further arguments of `wandb.init`, such as `tags` or `group`.

    Raises:
        ConfigError: wandb is not installed.
    """

    def __init__(self, project: str | None = None, **options: Any) -> None:
        need("wandb", "wandb")
        self._project = project or os.environ.get("WANDB_PROJECT") or PROJECT
        self._options = options
        self._run: Any = None

    def on_start(self, run: RunView) -> None:
        """Begin a run, or continue the one that this run directory began."""
        import wandb

        name = recall(run.run_dir, "wandb")
        if not isinstance(name, str):
            name = uuid4().hex[:8]
            remember(run.run_dir, "wandb", name)
        given = {
            "project": self._project,
            "dir": str(run.run_dir),
            "name": run.run_dir.name,
            "id": name,
            "resume": "allow",
            "config": {"algorithm": run.algorithm, **flat_mapping(run.config)},
            "reinit": "create_new",  # several seeds of one process are several runs
            "settings": wandb.Settings(silent=True, console="off", save_code=False),
        }
        self._run = wandb.init(**{**given, **self._options})

    def on_iteration(self, run: RunView) -> None:
        """Log the metrics of an iteration; iterations that are logged already are left as they are."""
        self._run.log(scalars(run.metrics), step=run.iteration)

    def on_checkpoint(self, run: RunView) -> None:
        """Log the performance of a checkpoint on meta-validation tasks."""
        if run.validation is not None:
            self._run.log(scalars(run.validation, "meta-validation."), step=run.iteration)

    def on_end(self, run: RunView, outcome: Outcome) -> None:
        """Note why training stopped, and end the run."""
        if self._run is None:
            return
        if outcome.stopped is not None:
            self._run.summary["stopped"] = outcome.stopped
        self._run.finish(exit_code=0 if outcome.error is None and outcome.signal is None else 1)

"""MLflow, the extra `mlflow`. Imports mlflow only on use."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from metarl.callbacks.callback import Callback, Outcome, RunView
from metarl.callbacks.records import need, recall, remember, scalars
from metarl.config.toml import flat_mapping

EXPERIMENT = "metarl"

MOST_PARAMS = 100
"""Entries of one request to MLflow."""

LONGEST_PARAM = 500
"""Characters of a parameter's value."""


class MlflowLogger(Callback):
    """Log metrics, scores and configuration to MLflow, with the iteration as step.

    A resumed run continues the same run there.

    Args:
        experiment: Name of the experiment (default: the variable MLFLOW_EXPERIMENT_NAME, or "metarl").
        tracking_uri: Where MLflow keeps its runs, such as `sqlite:///mlflow.db` or a server (default: the variable
            MLFLOW_TRACKING_URI, or MLflow's own default).

    Raises:
        ConfigError: mlflow is not installed.
    """

    def __init__(self, experiment: str | None = None, tracking_uri: str | None = None) -> None:
        need("mlflow", "mlflow")
        self._experiment = experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
        self._uri = tracking_uri
        self._client: Any = None
        self._id = ""

    def on_start(self, run: RunView) -> None:
        """Begin a run, or continue the one that this run directory began."""
        from mlflow import MlflowClient
        from mlflow.entities import Param
        from mlflow.exceptions import MlflowException

        self._client = MlflowClient(tracking_uri=self._uri)
        known = recall(run.run_dir, "mlflow")
        if isinstance(known, str):
            try:
                self._client.update_run(known, status="RUNNING")
                self._id = known
                return
            except MlflowException:
                pass  # of another store, or deleted there
        found = self._client.get_experiment_by_name(self._experiment)
        number = self._client.create_experiment(self._experiment) if found is None else found.experiment_id
        self._id = self._client.create_run(number, run_name=run.run_dir.name).info.run_id
        remember(run.run_dir, "mlflow", self._id)
        options = {"algorithm": run.algorithm, **flat_mapping(run.config)}
        params = [Param(name, str(value)[:LONGEST_PARAM]) for name, value in options.items()]
        for start in range(0, len(params), MOST_PARAMS):
            self._client.log_batch(self._id, params=params[start : start + MOST_PARAMS])

    def on_iteration(self, run: RunView) -> None:
        """Log the metrics of an iteration."""
        self._log(scalars(run.metrics), run.iteration)

    def on_checkpoint(self, run: RunView) -> None:
        """Log the performance of a checkpoint on meta-validation tasks."""
        if run.validation is not None:
            self._log(scalars(run.validation, "meta-validation."), run.iteration)

    def on_end(self, run: RunView, outcome: Outcome) -> None:
        """Note why training stopped, and end the run."""
        if not self._id:
            return
        if outcome.stopped is not None:
            self._client.set_tag(self._id, "stopped", outcome.stopped)
        status = "KILLED" if outcome.signal is not None else "FINISHED" if outcome.error is None else "FAILED"
        self._client.set_terminated(self._id, status)

    def _log(self, values: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._client.log_batch(self._id, metrics=[Metric(name, value, now, step) for name, value in values.items()])

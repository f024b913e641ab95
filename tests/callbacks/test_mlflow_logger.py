"""MLflow with files on this machine."""

import pytest

import metarl
from metarl.callbacks.mlflow_logger import MlflowLogger
from metarl.callbacks.records import recall
from tests.helpers.callbacks import train

pytest.importorskip("mlflow", reason="mlflow is not installed (extra mlflow)")


@pytest.mark.slow
def test_metrics_and_options_of_a_run_that_is_resumed(tmp_path, monkeypatch):
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    place = (tmp_path / "store").as_uri()
    run = train(tmp_path / "run", iterations=2, callbacks=[MlflowLogger("test", place)])
    metarl.resume(run, iterations=3, extend_schedule=True, callbacks=[MlflowLogger("test", place)])
    client, number = MlflowClient(place), recall(run, "mlflow")
    found = client.get_run(number)
    assert found.data.params["algorithm"] == "maml"
    assert found.info.status == "FINISHED"
    steps = [metric.step for metric in client.get_metric_history(number, "return.0")]
    assert steps == [1, 2, 3]
    assert "meta-validation.score" in found.data.metrics

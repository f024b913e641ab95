"""Weights & Biases without a network."""

import pytest

import metarl
from metarl.callbacks.records import recall
from metarl.callbacks.wandb_logger import WandbLogger
from tests.helpers.callbacks import train

pytest.importorskip("wandb", reason="wandb is not installed (extra wandb)")


@pytest.mark.slow
def test_a_resumed_run_is_the_same_run_there(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    run = train(tmp_path / "run", iterations=2, callbacks=[WandbLogger(project="test")])
    name = recall(run, "wandb")
    metarl.resume(run, iterations=3, extend_schedule=True, callbacks=[WandbLogger(project="test")])
    assert recall(run, "wandb") == name
    folders = list((run / "wandb").glob("offline-run-*"))
    assert len(folders) == 2
    assert all(name in folder.name for folder in folders)

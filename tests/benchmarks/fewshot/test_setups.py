"""The setups of the few-shot benchmarks: every method learns, and the parameters at test time."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.fewshot.cli import evaluate
from benchmarks.fewshot.configs import KINDS
from benchmarks.fewshot.setups import Images, Sinusoids, setup
from metarl.core.errors import ConfigError
from metarl.core.prng import Key
from tests.helpers.fewshot import fewshot

REAL = os.environ.get("METARL_OMNIGLOT")


def test_a_classifier_of_all_classes_gets_a_new_head_at_test_time(archives):
    config = KINDS["omniglot"].find("pretrain").config(ways=2, test_queries=2, filters=4, data=str(archives))
    made = setup(config)
    assert isinstance(made, Images)
    theta = {name: value.float() for name, value in made.model.initialise(Key.from_seed(1)).items()}
    assert len(theta["head.bias"]) == len(made.training_classes) > 2
    at_test = made.at_test(theta, Key.from_seed(2))
    assert at_test["head.weight"].shape == (2, made.model.features)
    assert all(torch.equal(at_test[name], value) for name, value in theta.items() if not name.startswith("head"))
    assert made.budget(2)["examples"] == [0, 2, 4]


def test_an_evaluation_adapts_to_fewer_large_tasks_at_a_time(archives):
    options = {"ways": 2, "filters": 4, "data": str(archives)}
    numbers = [
        setup(KINDS["omniglot"].find("maml").config(shots=shots, test_queries=2, **options))
        .problem(training=False)
        .tasks_at_once
        for shots in (1, 4)
    ]
    assert numbers[0] == 1_000_000 // ((2 + 4) * 28**2)
    assert numbers[1] == 1_000_000 // ((8 + 4) * 28**2)


def test_the_setup_of_each_configuration(tmp_path):
    made = setup(KINDS["sinusoid"].find("maml").config(minibatch=4))
    assert isinstance(made, Sinusoids)
    assert made.budget(1) == {"budget": "4 of 10 support examples", "shots": 10, "queries": 100, "examples": [0, 4]}
    with pytest.raises(ConfigError, match="no images; expected class folders"):
        setup(KINDS["image-folder"].find("maml").config(data=str(tmp_path)))


SINE = "--iterations 600 --network.hidden-sizes 40 --validation-tasks 0 --adam.lr 3e-3"
LEARNING = {
    "maml": f"maml {SINE}",
    "first-order MAML": f"maml --inner.first-order {SINE}",
    "ANIL": f"maml --inner.adapt head.* {SINE}",
    "Meta-SGD": f"maml --inner.learned-lr per-parameter {SINE}",
    "CAVIA": f"maml --inner.adapt context --network.context 4 --inner.lr 1 {SINE}",
    "Reptile": "reptile --step-size 1 --iterations 600 --meta-batch-size 5 --validation-tasks 0",
}


@pytest.mark.parametrize(
    "method", [name if name in ("maml", "CAVIA") else pytest.param(name, marks=pytest.mark.slow) for name in LEARNING]
)
def test_every_method_learns_to_adapt(method, tmp_path):
    """After training, as many steps as in training help on held-out curves, and more than from scratch."""
    code, _, err = fewshot(f"train sinusoid {LEARNING[method]} --run-dir {tmp_path}/run")
    assert (code, err) == (0, "")
    steps = 5 if method == "Reptile" else 1
    trained, scratch = (
        np.array(evaluate(tmp_path / "run", tasks=200, steps=steps, split="meta-test", initialisation=kind)["per_task"])
        for kind in ("trained", "random")
    )
    gain = trained[:, -1] - trained[:, 0]
    assert gain.mean() > 2 * gain.std() / len(gain) ** 0.5
    assert trained[:, -1].mean() > scratch[:, -1].mean()


@pytest.mark.slow
@pytest.mark.skipif(REAL is None, reason="METARL_OMNIGLOT does not say where Omniglot's archives are")
@pytest.mark.parametrize("method", ["maml", "reptile", "pretrain", "protonet"])
def test_quick_runs_learn_omniglot(method, tmp_path, monkeypatch):
    monkeypatch.delenv("METARL_CACHE")
    code, _, err = fewshot(f"train omniglot {method} --quick --run-dir {tmp_path}/run")
    assert (code, err) == (0, "")
    steps = {"protonet": 0, "reptile": 50}.get(method, 5)  # as published
    result = evaluate(tmp_path / "run", tasks=100, steps=steps, split="meta-test")["accuracy"]
    assert result["ci95_low"][-1] > 0.25  # chance is 0.2
    assert Path(tmp_path / "run" / "checkpoints").is_dir()

from dataclasses import replace

import pytest

from metarl.config.algorithms import AdamConfig
from metarl.config.memory import MemoryPolicyConfig, PpoConfig
from metarl.config.run import InnerConfig, PolicyConfig
from metarl.runs.directory import read_metrics
from metarl.training.start import resume, train
from tests.helpers.runs import assert_same_run
from tests.helpers.steps import tiny

VARIANTS = [
    ("maml", {}),
    ("maml", {"inner": InnerConfig(lr=0.3, first_order=True)}),
    ("maml", {"inner": InnerConfig(lr=0.3, adapt="head")}),
    ("maml", {"inner": InnerConfig(lr=0.3, learned_lr="per-parameter")}),
    ("maml-trpo", {"inner": InnerConfig(lr=0.3, adapt="head", learned_lr="per-layer")}),
    ("maml", {"inner": InnerConfig(lr=0.3, adapt="context"), "policy": PolicyConfig(hidden_sizes=(8,), context=2)}),
    ("maml-trpo", {"inner": InnerConfig(lr=0.3, adapt="context"), "policy": PolicyConfig((8,), context=2)}),
    ("maml-trpo", {"inner": InnerConfig(lr=0.3, estimator="dice")}),
    ("maml", {"inner": InnerConfig(lr=0.3, estimator="e-maml", steps=2)}),
    ("reptile", {"inner": InnerConfig(lr=0.01, steps=2, optimiser="adam")}),
    ("promp", {}),
    ("reptile", {}),
    ("reptile", {"outer": "plain"}),
    ("pretrain", {}),
    ("pretrain", {"outer": "trpo"}),
    ("rl2", {}),
    ("rl2", {"policy": MemoryPolicyConfig(memory="lstm", memory_size=6), "ppo": PpoConfig(minibatches=1, chunk=7)}),
]


@pytest.mark.parametrize(("algorithm", "changes"), VARIANTS, ids=lambda v: str(v))
def test_resuming_is_exact_for_every_algorithm(tmp_path, algorithm, changes):
    config = tiny(algorithm, **changes)
    train(algorithm, config, tmp_path / "whole")
    train(algorithm, config, tmp_path / "parts", report=_stop_after(tmp_path / "parts", 2))
    resume(tmp_path / "parts")
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def _stop_after(run, iteration):
    """A report that asks for a stop, as Ctrl-C does, so that the schedule stays that of the whole run."""
    import os
    import signal

    return lambda record: os.kill(os.getpid(), signal.SIGINT) if record["iteration"] == iteration else None


@pytest.mark.parametrize(
    ("algorithm", "changes"),
    [
        ("maml", {}),
        ("maml", {"inner": InnerConfig(lr=0.5, first_order=True)}),
        ("maml", {"inner": InnerConfig(lr=0.5, adapt="head")}),
        ("promp", {"adam": AdamConfig(lr=3e-3)}),
        ("reptile", {"inner": InnerConfig(lr=0.5, steps=3)}),
        ("pretrain", {}),
    ],
    ids=lambda v: str(v),
)
def test_every_algorithm_learns_to_adapt(tmp_path, algorithm, changes):
    """A minute of navigation: one step after training is worth far more than before it."""
    import metarl

    config = tiny(algorithm, **({"inner": InnerConfig(lr=0.5)} | changes))
    config = replace(
        config, iterations=25, meta_batch_size=10, episodes=10, checkpoint_every=25, validation_tasks=0,
        policy=PolicyConfig(hidden_sizes=(32, 32), activation="relu"),
    )  # fmt: skip
    train(algorithm, config, tmp_path / "run")
    trained = metarl.evaluate(tmp_path / "run", tasks=40, episodes=10, steps=1)["return"]["mean"]
    untrained = metarl.evaluate(tmp_path / "run", tasks=40, episodes=10, steps=1, initialisation="random")
    assert trained[1] > trained[0] + 5
    assert trained[1] > untrained["return"]["mean"][1] + 5
    assert all(record["return"][0] is not None for record in read_metrics(tmp_path / "run"))

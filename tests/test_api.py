import pytest

import metarl


def test_three_lines_of_python(tmp_path):
    run = metarl.train(
        "maml-trpo", run_dir=tmp_path / "run", iterations=1, meta_batch_size=2, episodes=2, validation_tasks=0,
        policy={"hidden_sizes": [8]},
    )  # fmt: skip
    assert metarl.evaluate(run, tasks=2, episodes=2, steps=1)["tasks"] == 2
    with pytest.raises(metarl.MetarlError, match="unknown key 'iteration'"):
        metarl.train("maml-trpo", run_dir=tmp_path / "other", iteration=1)
    assert not (tmp_path / "other").exists()


def test_a_stopped_training_does_not_look_finished(tmp_path):
    import os
    import signal

    def stop(record):
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        metarl.train("maml-trpo", run_dir=tmp_path / "run", iterations=50, meta_batch_size=2, episodes=2, report=stop)
    assert (tmp_path / "run" / "checkpoints" / "00000001").exists()


def test_a_budget_in_episodes_replaces_the_presets_budget_in_samples(tmp_path):
    import json

    options = {"iterations": 1, "meta_batch_size": 2, "validation_tasks": 0}
    metarl.train("maml-trpo", run_dir=tmp_path / "run", episodes=2, **options)
    record = json.loads((tmp_path / "run" / "metrics.jsonl").read_text())
    assert record["environment_steps"] <= 2 * 2 * 2 * 100
    with pytest.raises(metarl.MetarlError, match="one or the other"):
        metarl.train("maml-trpo", run_dir=tmp_path / "x", config=metarl.MamlTrpoConfig(), family="navigation2d")

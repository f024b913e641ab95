import json
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
from gymnasium import spaces

from metarl.config.run import InnerConfig
from metarl.config.toml import to_mapping
from metarl.core.errors import ConfigError, Divergence, EnvironmentFault, RunError
from metarl.families.declared import declare_family
from metarl.runs.checkpoint import load_checkpoint, load_newest
from metarl.runs.directory import RunLock, read_config, read_metrics
from metarl.runs.manifest import list_checkpoints, read_manifest
from metarl.training.start import resume, train


def timeless(record):
    return {k: v for k, v in record.items() if k not in ("wall_seconds", "seconds", "exchanged_bytes")}


def assert_same_run(one, two):
    """Bitwise the same tensors files and the same metrics but for times."""
    left, right = list_checkpoints(one), list_checkpoints(two)
    newest = max(left)
    assert newest == max(right)
    assert (left[newest] / "theta.safetensors").read_bytes() == (right[newest] / "theta.safetensors").read_bytes()
    assert [timeless(r) for r in read_metrics(one)] == [timeless(r) for r in read_metrics(two)]


def test_a_run_holds_what_scripts_rely_on(tmp_path, tiny_config):
    run = tmp_path / "run"
    outcome = train("maml-trpo", tiny_config, run)
    assert (outcome.iteration, outcome.signal) == (4, None)
    assert sorted(p.name for p in (run / "checkpoints").iterdir()) == ["00000002", "00000004"]
    records = read_metrics(run)
    assert [r["iteration"] for r in records] == [1, 2, 3, 4]
    for record in records:
        assert {
            "environment_steps",
            "wall_seconds",
            "return",
            "kl",
            "line_search",
            "seconds",
        } <= record.keys()
        assert len(record["return"]) == 2
        assert record["kl"] <= tiny_config.trust_region.max_kl
    assert records[-1]["environment_steps"] <= 4 * 2 * 3 * 3 * 100
    assert records[-1]["environment_steps"] == read_manifest(run / "checkpoints" / "00000004")["environment_steps"]
    assert any(p.name.startswith("events.out") for p in (run / "tensorboard").iterdir())
    assert read_config(run) == ("maml-trpo", tiny_config)
    assert len(read_manifest(run / "checkpoints" / "00000004")["meta_validation"]["return"]) == 2


@pytest.mark.parametrize(
    "inner",
    [
        InnerConfig(lr=0.3, steps=2),
        InnerConfig(lr=0.3, steps=3, first_order=True, later_lr=0.1),
        InnerConfig(steps=0),
    ],
)
def test_any_number_of_inner_steps(tmp_path, tiny_config, inner):
    train("maml-trpo", replace(tiny_config, inner=inner, iterations=1), tmp_path / "run")
    assert len(read_metrics(tmp_path / "run")[0]["return"]) == inner.steps + 1


@pytest.mark.parametrize("change", [{}, {"samples_per_step": 250}, {"observe_task": True}, {"dtype": "float64"}])
def test_the_same_run_twice_is_bitwise_the_same(tmp_path, tiny_config, change):
    config = replace(tiny_config, **change)
    train("maml-trpo", config, tmp_path / "a")
    train("maml-trpo", config, tmp_path / "b")
    assert_same_run(tmp_path / "a", tmp_path / "b")


def test_another_seed_is_another_run(tmp_path, tiny_config):
    train("maml-trpo", tiny_config, tmp_path / "a")
    train("maml-trpo", replace(tiny_config, seed=2), tmp_path / "b")
    assert read_metrics(tmp_path / "a")[0]["return"] != read_metrics(tmp_path / "b")[0]["return"]


def test_what_a_run_does_does_not_depend_on_how_it_is_watched(tmp_path, tiny_config):
    train("maml-trpo", tiny_config, tmp_path / "a")
    train(
        "maml-trpo",
        replace(tiny_config, checkpoint_every=1, validation_tasks=0),
        tmp_path / "b",
        report=lambda record: None,
    )
    assert_same_run(tmp_path / "a", tmp_path / "b")


def test_extending_a_run_is_bitwise_the_longer_run(tmp_path, tiny_config):
    train("maml-trpo", tiny_config, tmp_path / "whole")
    train("maml-trpo", replace(tiny_config, iterations=1), tmp_path / "parts")
    resume(tmp_path / "parts", iterations=3)
    resume(tmp_path / "parts", iterations=4)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_a_crash_after_the_checkpoint_is_undone_on_resume(tmp_path, tiny_config):
    """Lines that were written after the last checkpoint, a torn one too, are written anew."""
    train("maml-trpo", tiny_config, tmp_path / "whole")
    train("maml-trpo", replace(tiny_config, iterations=2), tmp_path / "crashed")
    with open(tmp_path / "crashed" / "metrics.jsonl", "a") as file:
        file.write(json.dumps({"iteration": 3, "return": [0, 0]}) + '\n{"iteration": 4, "ret')
    resume(tmp_path / "crashed", iterations=4)
    assert_same_run(tmp_path / "whole", tmp_path / "crashed")


def test_resuming_past_a_damaged_checkpoint(tmp_path, tiny_config):
    train("maml-trpo", tiny_config, tmp_path / "whole")
    train("maml-trpo", tiny_config, tmp_path / "damaged")
    (tmp_path / "damaged" / "checkpoints" / "00000004" / "theta.safetensors").write_bytes(b"nonsense")
    with pytest.warns(UserWarning, match="using 00000002 instead"):
        resume(tmp_path / "damaged")
    assert_same_run(tmp_path / "whole", tmp_path / "damaged")


def test_or_resume(tmp_path, tiny_config, monkeypatch):
    run = tmp_path / "run"
    train("maml-trpo", tiny_config, run, or_resume=True)
    assert train("maml-trpo", tiny_config, run, or_resume=True).iteration == 4
    with pytest.raises(RunError, match="seed is 1 there and 2 here"):
        train("maml-trpo", replace(tiny_config, seed=2), run, or_resume=True)
    with pytest.raises(RunError, match="holds a run already"):
        train("maml-trpo", tiny_config, run)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert train("maml-trpo", tiny_config, run).iteration == 4


def test_places_that_are_taken(tmp_path, tiny_config):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("precious")
    with pytest.raises(RunError, match="not an empty directory"):
        train("maml-trpo", tiny_config, tmp_path / "full")
    assert (tmp_path / "full" / "thesis.txt").read_text() == "precious"
    train("maml-trpo", replace(tiny_config, iterations=0), tmp_path / "run")
    lock = RunLock(tmp_path / "run")
    with pytest.raises(RunError, match="in use by another process"):
        resume(tmp_path / "run")
    lock.release()
    with pytest.raises(ConfigError, match="--iterations = -1"):
        resume(tmp_path / "run", iterations=-1)


def test_damaged_configurations_are_refused(tmp_path, tiny_config):
    run = tmp_path / "run"
    train("maml-trpo", replace(tiny_config, iterations=1), run)
    text = (run / "config.toml").read_text()
    (run / "config.toml").write_text(text.replace("lr = 0.3", 'lr = "fast"'))
    with pytest.raises(ConfigError, match=r"config.toml: inner.lr = 'fast'"):
        resume(run)
    (run / "config.toml").write_text(text.replace("hidden_sizes = [\n    8,\n]", "hidden_sizes = [9]"))
    with pytest.raises(RunError, match=r"hidden.0.weight has shape \(8, 2\); the model has \(9, 2\)"):
        resume(run, iterations=2)


def test_divergence_stops_and_keeps_the_last_checkpoint(tmp_path, tiny_config):
    run = tmp_path / "run"
    config = replace(tiny_config, iterations=1)
    train("maml-trpo", config, run)
    (run / "config.toml").write_text((run / "config.toml").read_text().replace("lr = 0.3", "lr = 1e30"))
    before = (run / "checkpoints" / "00000001" / "theta.safetensors").read_bytes()
    with pytest.raises((Divergence, EnvironmentFault), match="iteration 2"):
        resume(run, iterations=2)
    assert list(list_checkpoints(run)) == [1]
    assert (run / "checkpoints" / "00000001" / "theta.safetensors").read_bytes() == before


PENDULUM = declare_family("Pendulum-v1", spaces.Dict({"g": spaces.Box(5.0, 15.0, ())}), horizon=10)


def test_any_gymnasium_family_trains_and_resumes_exactly(tmp_path, tiny_config):
    config = replace(tiny_config, family="test_training:PENDULUM", variant=None, meta_batch_size=2, episodes=2)
    train("maml-trpo", config, tmp_path / "whole")
    train("maml-trpo", replace(config, iterations=1), tmp_path / "parts")
    resume(tmp_path / "parts", iterations=4)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def start(run, config, tmp_path):
    """`metarl train` in a process of its own."""
    import tomli_w

    path = tmp_path / "config.toml"
    path.write_text(tomli_w.dumps(to_mapping(config)))
    return subprocess.Popen(
        [sys.executable, "-m", "metarl", "train", "maml-trpo", "--config", str(path), "--run-dir", str(run)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_iteration(run, iteration, process):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, process.stderr.read()
        path = run / "metrics.jsonl"
        if path.exists() and len(path.read_text().splitlines()) >= iteration:
            return
        time.sleep(0.01)
    raise AssertionError("the run made no progress")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_stopping_and_resuming_is_exact(tmp_path, tiny_config, number, code):
    config = replace(tiny_config, iterations=60, checkpoint_every=7)
    run = tmp_path / "stopped"
    process = start(run, config, tmp_path)
    wait_for_iteration(run, 10, process)
    process.send_signal(number)
    assert process.wait(timeout=30) == code
    if number != signal.SIGKILL:
        assert "saved; go on with: metarl resume" in process.stderr.read()
    stopped_at = load_newest(run)[1]["iteration"]
    assert 7 <= stopped_at < 60
    resume(run, iterations=stopped_at + 3)
    train("maml-trpo", replace(config, iterations=stopped_at + 3), tmp_path / "whole")
    assert_same_run(tmp_path / "whole", run)


def test_adaptation_is_learned(tmp_path, tiny_config):
    """Twenty small iterations make one adaptation step worth much more than it was."""
    config = replace(
        tiny_config,
        iterations=20,
        meta_batch_size=10,
        episodes=10,
        inner=InnerConfig(lr=0.5),
        validation_tasks=0,
    )
    train("maml-trpo", config, tmp_path / "run")
    gains = [r["return"][1] - r["return"][0] for r in read_metrics(tmp_path / "run")]
    assert sum(gains[-5:]) / 5 > 10
    state, _ = load_checkpoint(max(list_checkpoints(tmp_path / "run").values()))
    assert all(bool(torch.isfinite(v).all()) for v in state["theta"].values())


@pytest.mark.parametrize("algorithm", ["maml-trpo", "maml", "reptile"])
def test_a_run_of_no_iterations_is_saved(tmp_path, tiny_config, algorithm):
    from metarl.config.registry import ALGORITHMS

    config = ALGORITHMS[algorithm].config(variant="finn17", iterations=0, validation_tasks=1, episodes=2)
    assert train(algorithm, config, tmp_path / "run").iteration == 0
    assert list(list_checkpoints(tmp_path / "run")) == [0]


def test_a_configuration_that_cannot_be_used_leaves_no_directory(tmp_path, tiny_config):
    with pytest.raises(ConfigError, match=r"--inner\.adapt = body"):
        train("maml-trpo", replace(tiny_config, inner=InnerConfig(adapt="body")), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_fault_on_a_validation_task_costs_the_score_only(tmp_path, tiny_config, monkeypatch):
    def broken(*_, **__):
        raise EnvironmentFault("reward is not finite at task 1, episode 0, step 2")

    monkeypatch.setattr("metarl.training.loop.adaptation_curve", broken)
    with pytest.warns(UserWarning, match="iteration 2: the checkpoint has no score: reward is not finite"):
        train("maml-trpo", tiny_config, tmp_path / "run")
    assert read_manifest(tmp_path / "run" / "checkpoints" / "00000004")["meta_validation"] is None


def test_other_numbers_of_threads_are_warned_of(tmp_path, tiny_config):
    train("maml-trpo", replace(tiny_config, iterations=1), tmp_path / "run")
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        with pytest.warns(UserWarning, match=f"trained with {threads} threads, goes on with {threads + 1}"):
            resume(tmp_path / "run", iterations=2)
    finally:
        torch.set_num_threads(threads)

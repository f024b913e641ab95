"""Runs: comparing them, and starting them as processes."""

import subprocess
import sys
import time

import tomli_w

from metarl.config.algorithms import MamlConfig
from metarl.config.run import PolicyConfig
from metarl.config.toml import to_mapping
from metarl.runs.checkpoint import load_newest
from metarl.runs.directory import read_metrics
from metarl.runs.manifest import list_checkpoints
from metarl.training.start import train


def timeless(record):
    """A metrics record without times and bytes exchanged."""
    return {k: v for k, v in record.items() if k not in ("wall_seconds", "seconds", "exchanged_bytes")}


def assert_same_run(one, two):
    """Bitwise the same tensors files and the same metrics but for times."""
    left, right = list_checkpoints(one), list_checkpoints(two)
    newest = max(left)
    assert newest == max(right)
    assert (left[newest] / "theta.safetensors").read_bytes() == (right[newest] / "theta.safetensors").read_bytes()
    assert [timeless(r) for r in read_metrics(one)] == [timeless(r) for r in read_metrics(two)]


def differences(one, other):
    left, right = (load_newest(run)[0]["theta"] for run in (one, other))
    return max(float((left[name] - right[name]).abs().max()) for name in left)


def start(run, config, tmp_path):
    """`metarl train` in a process of its own."""

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


def policy_run(place, family="navigation2d", hidden_sizes=(8, 6), activation="tanh", normalised=False, **options):
    """A run after one iteration, so that no parameter is where it was drawn."""
    policy = PolicyConfig(
        hidden_sizes=hidden_sizes, activation=activation, initial_log_std=-0.3, normalise_observations=normalised
    )
    config = MamlConfig(
        family=family, iterations=1, meta_batch_size=2, episodes=2, validation_tasks=0, policy=policy, **options,
    )  # fmt: skip
    train("maml", config, place)
    return place

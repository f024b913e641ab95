"""Several seeds in one batch: each is the run that its seed makes alone, and each has a fate of its own."""

import os
import signal
from contextlib import nullcontext
from dataclasses import replace

import pytest

import metarl
from metarl.algorithms import maml
from metarl.config.algorithms import AdamConfig
from metarl.core.errors import ConfigError, Divergence
from metarl.core.prng import Key
from metarl.core.ranks import (
    ALONE,
    current,
)
from metarl.runs.checkpoint import load_newest
from metarl.training.seeds import train_seeds
from metarl.training.start import train
from tests.helpers import rank_cases
from tests.helpers.cli import metarl as command_line
from tests.helpers.runs import assert_same_run
from tests.helpers.seeds import SEEDS, check_each_alone


def test_processes_share_out_the_seeds(tmp_path, tiny_config, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    runs = dict(train_seeds("maml-trpo", replace(tiny_config, iterations=0), (1, 2, 3, 4), tmp_path / "shared"))
    assert [run.name for run in runs] == ["seed-2", "seed-4"]
    assert current() is ALONE
    assert not dict(train_seeds("maml-trpo", replace(tiny_config, iterations=0), (1,), tmp_path / "too-few"))


def short(name="maml", **changes):
    algorithm, config = rank_cases.CASES[name]
    return algorithm, replace(config, **{"iterations": 3, "checkpoint_every": 1} | changes)


@pytest.mark.parametrize("name", [name for name in rank_cases.CASES if not name.startswith("ordered-")])
def test_each_seed_of_a_batch_is_its_own_run(tmp_path, name):
    """Five iterations in float64; episodes end early, so that the seeds' transitions lie in unlike shapes."""
    algorithm, config = rank_cases.CASES[name]
    runs = dict(train_seeds(algorithm, config, SEEDS, tmp_path / "many"))
    assert [run.name for run in runs] == [f"seed-{seed}" for seed in SEEDS]
    assert [outcome.iteration for outcome in runs.values()] == [config.iterations] * 3
    check_each_alone(tmp_path, algorithm, config, runs, 5e-4 if name == "float32" else 1e-6)


def with_a_fault_at_the_second_iteration(monkeypatch, seed):
    """The algorithm's step diverges there, whether this seed is trained alone or beside others."""
    step, fatal = maml.meta_step, Key.from_seed(seed).at("iteration", 2).value

    def faulty(state, problem, tasks, key, *rest):
        if fatal in (key.value, *(other.value for other in key.co_seeds)):
            raise Divergence("a parameter is not finite")
        return step(state, problem, tasks, key, *rest)

    monkeypatch.setattr(maml, "meta_step", faulty)


def test_a_seed_that_diverges_ends_alone(tmp_path, monkeypatch):
    algorithm, config = short()
    with monkeypatch.context() as patch:
        with_a_fault_at_the_second_iteration(patch, 1)
        runs = {run.name: outcome for run, outcome in train_seeds(algorithm, config, SEEDS, tmp_path / "many")}
    assert {name: outcome.iteration for name, outcome in runs.items()} == {"seed-3": 3, "seed-1": 1, "seed-8": 3}
    assert str(runs["seed-1"].error) == "iteration 2: a parameter is not finite"
    assert runs["seed-3"].error is runs["seed-8"].error is None
    assert load_newest(tmp_path / "many" / "seed-1")[1]["iteration"] == 1
    check_each_alone(tmp_path, algorithm, config, [tmp_path / "many" / f"seed-{seed}" for seed in (3, 8)])


def test_the_command_says_how_seeds_are_trained_and_which_one_failed(tmp_path, monkeypatch):
    with_a_fault_at_the_second_iteration(monkeypatch, 1)
    line = (
        "train maml --family navigation2d --variant finn17 --iterations 2 --meta-batch-size 2 --episodes 2 "
        "--validation-tasks 0 --policy.hidden-sizes 4 --run-dir {run} --seeds 3 1"
    )
    code, out, err = command_line(line, run=tmp_path / "many")
    assert code == 2
    assert out.splitlines()[-1] == f"saved {tmp_path}/many/seed-3/checkpoints/00000002"
    assert "metarl: 2 seeds, 2 at once: they are one batch" in out.splitlines()
    assert err == f"metarl: error: {tmp_path}/many/seed-1: iteration 2: a parameter is not finite\n"
    code, _, err = command_line(line + " --seeds-at-once 0", run=tmp_path / "none")
    assert (code, err) == (2, "metarl: error: --seeds-at-once = 0; expected at least 1\n")


def test_a_signal_stops_all_seeds_and_they_go_on_bitwise(tmp_path):
    algorithm, config = short(checkpoint_every=2)

    def terminate(record):
        if record["iteration"] == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    stopped = dict(train_seeds(algorithm, config, SEEDS, tmp_path / "many", display=lambda: nullcontext(terminate)))
    assert [(outcome.iteration, outcome.signal) for outcome in stopped.values()] == [(1, signal.SIGTERM)] * 3
    list(train_seeds(algorithm, config, SEEDS, tmp_path / "many", or_resume=True))
    for run in dict(train_seeds(algorithm, config, SEEDS, tmp_path / "whole")):
        assert_same_run(run, tmp_path / "many" / run.name)


def test_seeds_that_stand_at_unlike_iterations_go_on_apart(tmp_path):
    algorithm, config = short(iterations=2, adam=AdamConfig(schedule="constant"))
    list(train_seeds(algorithm, config, SEEDS, tmp_path / "many"))
    run = tmp_path / "many" / "seed-8"
    with pytest.warns(UserWarning, match="seed-8: trained in a batch with 2 other seeds, goes on alone"):
        metarl.resume(run, iterations=4)
    longer = replace(config, iterations=4)
    check_each_alone(tmp_path, algorithm, longer, [run])

    for seed in SEEDS:
        path = tmp_path / "many" / f"seed-{seed}" / "config.toml"
        path.write_text(path.read_text().replace("iterations = 2", "iterations = 4"))
    said = []
    with pytest.warns(UserWarning, match="seed-3: trained in a batch with 2 other seeds, goes on in a batch with 1"):
        runs = dict(train_seeds(algorithm, longer, SEEDS, tmp_path / "many", or_resume=True, log=said.append))
    assert [(run.name, outcome.iteration) for run, outcome in runs.items()] == [(f"seed-{n}", 4) for n in SEEDS]
    assert said == [
        "3 seeds, 3 at once: they are one batch",
        "seed-3, seed-1: from iteration 2, apart from the seeds that stand at another",
        "seed-8: from iteration 4, apart from the seeds that stand at another",
    ]


@pytest.mark.parametrize(
    ("name", "at_once", "said"),
    [
        ("ordered-maml", None, "2 seeds, one after another: with --ordered-sums every task is computed alone"),
        ("maml", 1, "2 seeds, one after another: as --seeds-at-once says"),
    ],
)
def test_one_after_another_each_is_bitwise_its_own_run(tmp_path, name, at_once, said):
    algorithm, config = short(name, iterations=2)
    lines = []
    for run in dict(train_seeds(algorithm, config, (1, 7), tmp_path / "many", at_once=at_once, log=lines.append)):
        train(algorithm, replace(config, seed=int(run.name[-1])), tmp_path / f"alone-{run.name}")
        assert_same_run(tmp_path / f"alone-{run.name}", run)
    assert lines == [said]


def test_seeds_are_given_once(tmp_path):
    algorithm, config = short()
    with pytest.raises(ConfigError, match="--seeds = 1 1; expected each seed once"):
        list(train_seeds(algorithm, config, (1, 1), tmp_path / "twice"))
    with pytest.raises(ConfigError, match="--seeds-at-once = -1; expected at least 1"):
        list(train_seeds(algorithm, config, (1, 2), tmp_path / "none", at_once=-1))

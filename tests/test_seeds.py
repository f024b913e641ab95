"""Several seeds in one batch: each is the run that its seed makes alone, and each has a fate of its own."""

import os
import signal
from contextlib import nullcontext
from dataclasses import replace

import pytest
import rank_cases
import torch
from test_cli import metarl as command_line
from test_ranks import differences
from test_training import assert_same_run, timeless

import metarl
from benchmarks.fewshot.configs import KINDS, default_config
from metarl.algorithms import maml
from metarl.algorithms.trust_region import conjugate_gradient, line_search
from metarl.config.algorithms import AdamConfig
from metarl.core.errors import ConfigError, Divergence
from metarl.core.prng import Key
from metarl.core.seed_axis import use_seed_axis
from metarl.runs.checkpoint import load_newest
from metarl.runs.directory import read_metrics
from metarl.training.seeds import train_seeds
from metarl.training.start import train

SEEDS = (3, 1, 8)


def short(name="maml", **changes):
    algorithm, config = rank_cases.CASES[name]
    return algorithm, replace(config, **{"iterations": 3, "checkpoint_every": 1} | changes)


def check_each_alone(tmp_path, algorithm, config, runs, tolerance=1e-6, **options):
    for run in runs:
        seed, alone = int(run.name.removeprefix("seed-")), tmp_path / f"alone-{run.name}"
        train(algorithm, replace(config, seed=seed), alone, **options)
        assert differences(alone, run) < tolerance, seed
        for one, other in zip(map(timeless, read_metrics(alone)), map(timeless, read_metrics(run)), strict=True):
            assert one.keys() == other.keys()
            for name in one.keys() & {"iteration", "environment_steps", "examples", "line_search"}:
                assert one[name] == other[name], name
            assert other["outer_loss" if "outer_loss" in one else "difference_norm"] == pytest.approx(
                one["outer_loss" if "outer_loss" in one else "difference_norm"], rel=1e-3, abs=1e-6
            )


@pytest.mark.parametrize("name", [name for name in rank_cases.CASES if not name.startswith("ordered-")])
def test_each_seed_of_a_batch_is_its_own_run(tmp_path, name):
    """Five iterations in float64; episodes end early, so that the seeds' transitions lie in unlike shapes."""
    algorithm, config = rank_cases.CASES[name]
    runs = dict(train_seeds(algorithm, config, SEEDS, tmp_path / "many"))
    assert [run.name for run in runs] == [f"seed-{seed}" for seed in SEEDS]
    assert [outcome.iteration for outcome in runs.values()] == [config.iterations] * 3
    check_each_alone(tmp_path, algorithm, config, runs, 1e-4 if name == "float32" else 1e-6)


@pytest.mark.parametrize("method", ["maml", "reptile", "pretrain"])
def test_supervised_seeds_are_one_batch_too(tmp_path, method):
    kind = KINDS["sinusoid"]
    config = replace(
        default_config("sinusoid", method), iterations=5, meta_batch_size=4, validation_tasks=3, dtype="float64"
    )
    runs = dict(train_seeds(method, config, SEEDS, tmp_path / "many", kind))
    check_each_alone(tmp_path, method, config, runs, kind=kind)


def test_each_seed_has_a_conjugate_gradient_of_its_own():
    """One target is zero, one an eigenvector that a single iteration solves for, and one takes them all."""
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(3, 6, 6, generator=generator, dtype=torch.float64)
    matrices = root @ root.mT + torch.eye(6, dtype=torch.float64)
    targets = torch.randn(3, 6, generator=generator, dtype=torch.float64)
    targets[0] = 0
    targets[1] = torch.linalg.eigh(matrices[1]).eigenvectors[:, 2]
    options = {"iterations": 4, "tolerance": 1e-20}
    with use_seed_axis(3):
        x, image = conjugate_gradient(lambda v: torch.einsum("sij,sj->si", matrices, v), targets, **options)
    for matrix, target, found, mapped in zip(matrices, targets, x, image, strict=True):
        alone, alone_mapped = conjugate_gradient(lambda v, m=matrix: m @ v, target, **options)
        torch.testing.assert_close(found, alone, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(mapped, alone_mapped, rtol=1e-12, atol=1e-14)


def test_each_seed_has_a_line_search_of_its_own():
    """The first takes the whole step, the second the fourth candidate, and the third stays where it is."""
    theta = {"a": torch.zeros(3, 2, dtype=torch.float64), "b": torch.zeros(3, dtype=torch.float64)}
    reach, asked = torch.tensor([1.0, 0.2, -1.0], dtype=torch.float64), []

    def evaluate(at):
        moved = -at["b"]
        asked.append(moved.tolist())
        return torch.where(moved <= reach, -moved, 1.0), moved / 100

    with use_seed_axis(3):
        found = line_search(
            evaluate, theta, torch.ones(3, 3, dtype=torch.float64), loss=torch.zeros(3, dtype=torch.float64),
            max_kl=0.01, max_backtracks=6, backtrack_ratio=0.5,
        )  # fmt: skip
    assert found.accepted.tolist() == [True, True, False]
    assert found.backtracks.tolist() == [0, 3, -1]
    assert found.theta["b"].tolist() == [-1.0, -0.125, 0.0]
    assert found.theta["a"].tolist() == [[-1.0, -1.0], [-0.125, -0.125], [0.0, 0.0]]
    assert found.loss.tolist() == [-1.0, -0.125, 0.0]
    assert found.kl.tolist() == [0.01, 0.00125, 0.0]
    assert len(asked) == 6


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
    algorithm, config = short(iterations=2, adam=AdamConfig(decay="none"))
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

"""Ranks as threads of one process, where every operation can be looked at, and as real processes under torchrun."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import rank_cases
import tomli_w
import torch
from test_inner import quadratic
from test_training import assert_same_run, wait_for_iteration

from metarl.adaptation.adapter import replay
from metarl.adaptation.gradient import GradientDescent
from metarl.algorithms.meta_gradient import value_and_grad
from metarl.config.toml import to_mapping
from metarl.core.collectives import broadcast_to_tasks, global_num_tasks, mean_over_tasks, sum_over_tasks
from metarl.core.errors import ConfigError, Divergence, EnvironmentFault, RunError
from metarl.core.ordered_sums import on_share
from metarl.core.prng import Key
from metarl.core.ranks import (
    ALONE,
    Ranks,
    all_reduce_max,
    all_reduce_sum,
    broadcast_rank0,
    broadcast_state,
    current,
    share,
    sync_errors,
    use_ranks,
)
from metarl.runs.checkpoint import load_newest
from metarl.runs.manifest import sealed
from metarl.training.seeds import train_seeds
from metarl.training.start import train

TESTS = Path(__file__).parent


class Numbered(Ranks):
    def __init__(self, index, size):
        self.index, self.size = index, size


@pytest.mark.parametrize(("tasks", "ranks"), [(5, 1), (5, 2), (5, 4), (4, 4), (7, 3), (2, 4), (0, 2)])
def test_every_task_has_one_rank_and_shares_differ_by_one_at_most(tasks, ranks):
    shares = [share(tasks, Numbered(i, ranks)) for i in range(ranks)]
    assert [task for part in shares for task in range(part.start, part.stop)] == list(range(tasks))
    sizes = [part.stop - part.start for part in shares]
    assert max(sizes) - min(sizes) <= 1


def everyone(tasks, compute):
    """The results of all ranks, of which each is a thread with one task."""
    found = {}
    on_share(tasks, True, lambda part, place: found.update({place: compute(place)}))
    return [found[place] for place in range(tasks)]


def test_what_ranks_tell_each_other():
    assert everyone(3, lambda i: all_reduce_sum(i + 1)) == [6] * 3
    assert everyone(3, lambda i: all_reduce_max(i, -i)) == [[2, 0]] * 3
    assert everyone(3, lambda i: current().gather(torch.arange(i)).tolist()) == [[0, 0, 1]] * 3
    assert everyone(3, lambda i: broadcast_rank0({"rank": i, "text": "é"})) == [{"rank": 0, "text": "é"}] * 3
    assert everyone(3, lambda i: global_num_tasks(1)) == [3] * 3
    assert everyone(3, lambda i: sum_over_tasks(torch.tensor([[i, 1.0]])).tolist()) == [[3, 3]] * 3


def test_the_first_ranks_state_whatever_the_order_of_its_entries():
    def state(i):
        moments = {"steps": torch.tensor(5 + i), "first": torch.full((3,), 0.5 * i)}
        params = {"theta": {"w": torch.full((2, 2), float(i), dtype=torch.float64)}, "optimiser": moments}
        return {name: dict(reversed(entry.items())) for name, entry in params.items()} if i else params

    for i, found in enumerate(everyone(3, lambda i: broadcast_state(state(i)))):
        assert list(found["optimiser"]) == list(state(i)["optimiser"])
        for name, entry in state(0).items():
            for key, value in entry.items():
                assert torch.equal(found[name][key], value)
                assert found[name][key].dtype == value.dtype


def test_one_ranks_error_is_everybodys():
    def fail_at(*ranks):
        def compute(i):
            try:
                with sync_errors():
                    if i in ranks:
                        raise (EnvironmentFault if i == 1 else Divergence)(f"at {i}")
            except (EnvironmentFault, Divergence) as error:
                return type(error), str(error)

        return compute

    assert everyone(3, fail_at()) == [None] * 3
    assert everyone(3, fail_at(2)) == [(Divergence, "rank 2: at 2")] * 2 + [(Divergence, "at 2")]
    message = (EnvironmentFault, "rank 1: at 1")
    assert everyone(3, fail_at(1, 2)) == [message, (EnvironmentFault, "at 1"), message]


def test_a_bug_in_one_thread_ends_them_all():
    def compute(part, place):
        if place == 1:
            raise ZeroDivisionError
        return all_reduce_sum(1)

    with pytest.raises(ZeroDivisionError):
        on_share(3, True, compute)


def quadratics(n):
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(n, 3, 3, generator=generator, dtype=torch.float64)
    data = root @ root.mT / 3 + 0.2 * torch.eye(3, dtype=torch.float64), torch.randn(n, 3, generator=generator).double()
    return data, {"x": torch.randn(3, generator=generator, dtype=torch.float64)}


def test_the_meta_gradient_of_ranks_is_that_of_one_process():
    data, theta = quadratics(4)
    adapter = GradientDescent(0.1)

    def value_and_gradient(part, place=0):
        own = tuple(x[part] for x in data)
        n = len(own[0])
        return value_and_grad(
            lambda t: mean_over_tasks(quadratic(replay(quadratic, t, [own] * 2, adapter, n), own)), theta
        )

    value, gradient = value_and_gradient(slice(0, 4))
    shared = on_share(4, True, value_and_gradient)
    torch.testing.assert_close(shared[0], value, rtol=1e-13, atol=0)
    torch.testing.assert_close(shared[1]["x"], gradient["x"], rtol=1e-13, atol=1e-15)


def test_products_with_the_curvature_differentiate_through_the_sum():
    """J^T M J by a derivative of the pull-back, as the trust region has it, against the same in one process."""
    data, theta = quadratics(4)
    vector = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)

    def product(part, place=0):
        leaf = theta["x"].clone().requires_grad_()
        spreaded = broadcast_to_tasks({"x": leaf}, part.stop - part.start)["x"]
        outputs = (data[0][part] @ spreaded[..., None]).squeeze(-1).sin()
        probe = torch.zeros_like(outputs).requires_grad_()
        (pulled,) = torch.autograd.grad(outputs, leaf, probe, create_graph=True)
        (image,) = torch.autograd.grad(pulled, probe, vector, retain_graph=True)
        return torch.autograd.grad(outputs, leaf, image)[0]

    expected = product(slice(0, 4))
    torch.testing.assert_close(on_share(4, True, product), expected, rtol=1e-13, atol=1e-15)


def test_a_task_draws_the_same_numbers_wherever_it_is():
    key = Key.from_seed(3).at("environment")
    assert torch.equal(key.env_seeds(5, 2)[3:], key.from_task(3).env_seeds(2, 2))
    assert torch.equal(key.at(1).env_seeds(5, 2)[3:], key.from_task(3).at(1).env_seeds(2, 2))


def launch(processes, *arguments, cwd=TESTS, options=("--standalone",)):
    """torchrun on `-m` arguments."""
    command = [sys.executable, "-m", "torch.distributed.run", *options, "--nproc-per-node", str(processes), "-m"]
    return subprocess.Popen(
        [*command, *map(str, arguments)], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process):
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    return out


def differences(one, other):
    left, right = (load_newest(run)[0]["theta"] for run in (one, other))
    return max(float((left[name] - right[name]).abs().max()) for name in left)


def check_cases(tmp_path, names, sizes):
    """Runs by several numbers of processes against those of one: bitwise where sums are ordered, else closely."""
    rank_cases.main(tmp_path / "1", names)
    for size in sizes:
        finish(launch(size, "rank_cases", tmp_path / str(size), *names))
        for name in names:
            one, several = tmp_path / "1" / name, tmp_path / str(size) / name
            if name.startswith("ordered-"):
                assert_same_run(one, several)
            else:
                assert differences(one, several) < (1e-4 if name == "float32" else 1e-6), (name, size)


def test_two_and_four_processes_train_as_one_does(tmp_path):
    """Five tasks: shares of 3 and 2, and of 2, 1, 1 and 1."""
    names = ["maml-trpo", "promp", "inner-adam", "inner-adam-trpo", "float32", "ordered-maml-trpo"]
    check_cases(tmp_path, names, [2, 4])


@pytest.mark.slow
def test_all_cases_by_two_three_and_five_processes(tmp_path):
    check_cases(tmp_path, list(rank_cases.CASES), [2, 3, 5])


@pytest.mark.slow
def test_supervised_tasks_are_shared_too(tmp_path):
    arguments = "benchmarks.fewshot train sinusoid maml --iterations 20 --ordered-sums --validation-tasks 7"
    runs = [tmp_path / "one", tmp_path / "two"]
    for run, processes in zip(runs, (1, 2), strict=True):
        finish(launch(processes, *arguments.split(), "--meta-batch-size", 5, "--run-dir", run, cwd=TESTS.parent))
    assert_same_run(*runs)


def write_config(tmp_path, **changes):
    algorithm, config = rank_cases.CASES["ordered-maml-trpo"]
    config = replace(config, inner=replace(config.inner, steps=1), **changes)
    path = tmp_path / "config.toml"
    path.write_text(tomli_w.dumps({"algorithm": algorithm, **to_mapping(config)}))
    return path, config


def worker_of(agent, rank):
    """The process id of a rank, found among the children of torchrun."""
    for child in Path(f"/proc/{agent}/task/{agent}/children").read_text().split():
        if f"RANK={rank}".encode() in Path(f"/proc/{child}/environ").read_bytes().split(b"\0"):
            return int(child)
    raise AssertionError(f"no rank {rank}")


def killed(tmp_path, **changes):
    """A run of two processes, of which one is killed after a few iterations and both are started again."""
    path, config = write_config(tmp_path, iterations=24, checkpoint_every=5, validation_tasks=0, **changes)
    run = tmp_path / "killed"
    arguments = ("metarl", "train", "maml-trpo", "--config", path, "--run-dir", run)
    process = launch(2, *arguments, options=("--standalone", "--max-restarts", "1"))
    wait_for_iteration(run, 7, process)
    os.kill(worker_of(process.pid, 1), signal.SIGKILL)
    finish(process)
    return run, config, arguments


def test_a_killed_rank_changes_nothing(tmp_path):
    run, config, _ = killed(tmp_path)
    train("maml-trpo", config, tmp_path / "whole")
    assert_same_run(tmp_path / "whole", run)


@pytest.mark.slow
def test_a_killed_rank_changes_nothing_where_sums_are_not_ordered(tmp_path):
    run, _, arguments = killed(tmp_path, ordered_sums=False)
    finish(launch(2, *arguments[:-1], tmp_path / "whole"))
    assert_same_run(tmp_path / "whole", run)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_two_hosts_and_only_the_first_writes(tmp_path):
    """Two launches that meet over loopback, each in a directory of its own."""
    path, config = write_config(tmp_path, meta_batch_size=3)
    port, hosts = free_port(), []
    for number in range(2):
        (tmp_path / f"host-{number}").mkdir()
        options = ("--nnodes", 2, "--node-rank", number, "--master-addr", "127.0.0.1", "--master-port", port)
        arguments = ("metarl", "train", "maml-trpo", "--config", path, "--run-dir", "run")
        hosts.append(launch(1, *arguments, cwd=tmp_path / f"host-{number}", options=list(map(str, options))))
    out = [finish(host) for host in hosts]
    assert "saved run/checkpoints" in out[0]
    assert out[1] == ""
    assert list((tmp_path / "host-1").iterdir()) == []
    train("maml-trpo", config, tmp_path / "one")
    assert_same_run(tmp_path / "one", tmp_path / "host-0" / "run")


def test_a_silent_rank_is_given_up_after_the_timeout(tmp_path):
    path, _ = write_config(tmp_path, iterations=100000, rank_timeout=3.0)
    run, port = tmp_path / "run", free_port()
    ranks = []
    for rank in range(2):
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        command = [sys.executable, "-m", "metarl", "train", "maml-trpo", "--config", path, "--run-dir", run]
        environment = os.environ | {name: str(value) for name, value in place.items()}
        ranks.append(subprocess.Popen(list(map(str, command)), env=environment, stderr=subprocess.PIPE, text=True))
    try:
        wait_for_iteration(run, 2, ranks[0])
        ranks[1].send_signal(signal.SIGSTOP)
        stopped = time.monotonic()
        _, err = ranks[0].communicate(timeout=60)
        assert ranks[0].returncode == 2
        assert "metarl: error: rank 0 of 2 lost contact with the others: " in err
        assert time.monotonic() - stopped < 20
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()


def test_fewer_tasks_than_processes_are_refused(tmp_path):
    config = replace(rank_cases.CASES["maml"][1], meta_batch_size=1)
    with use_ranks(Numbered(0, 2)), pytest.raises(ConfigError, match="--meta-batch-size = 1; expected at least 2"):
        train("maml", config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_another_number_of_processes_is_warned_of(tmp_path):
    config = replace(rank_cases.CASES["maml"][1], iterations=0, validation_tasks=0)
    train("maml", config, tmp_path / "run")
    manifest = tmp_path / "run" / "checkpoints" / "00000000" / "manifest.json"
    entries = json.loads(manifest.read_text()) | {"processes": 2}
    del entries["sha256"]
    manifest.write_bytes(sealed(entries))
    with pytest.warns(UserWarning, match="trained by 2 processes, goes on with 1"):
        train("maml", config, tmp_path / "run", or_resume=True)


def test_ordered_sums_differ_from_batched_ones_by_rounding(tmp_path):
    algorithm, config = rank_cases.CASES["ordered-maml-trpo"]
    train(algorithm, config, tmp_path / "ordered")
    train(algorithm, replace(config, ordered_sums=False), tmp_path / "batched")
    assert 0 < differences(tmp_path / "ordered", tmp_path / "batched") < 1e-10


def test_processes_share_out_the_seeds(tmp_path, tiny_config, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    runs = dict(train_seeds("maml-trpo", replace(tiny_config, iterations=0), (1, 2, 3, 4), tmp_path / "shared"))
    assert [run.name for run in runs] == ["seed-2", "seed-4"]
    assert current() is ALONE
    assert not dict(train_seeds("maml-trpo", replace(tiny_config, iterations=0), (1,), tmp_path / "too-few"))


def test_processes_that_do_not_meet_say_so(tmp_path, tiny_config, monkeypatch):
    place = {"RANK": 1, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    for name, value in place.items():
        monkeypatch.setenv(name, str(value))
    with pytest.raises(RunError, match="the processes of this launch did not meet"):
        train("maml-trpo", replace(tiny_config, rank_timeout=1.0), tmp_path / "run")

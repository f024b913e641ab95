"""Ranks as threads of one process, where every operation can be looked at, and as real processes under torchrun."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from metarl.runs.manifest import sealed
from metarl.training.start import train
from tests.helpers import rank_cases
from tests.helpers.processes import finish, free_port, launch, write_config
from tests.helpers.runs import assert_same_run, differences, wait_for_iteration


def check_cases(tmp_path, names, sizes):
    """Runs by several numbers of processes against those of one: bitwise where sums are ordered, else closely."""
    rank_cases.main(tmp_path / "1", names)
    for size in sizes:
        finish(launch(size, "tests.helpers.rank_cases", tmp_path / str(size), *names))
        for name in names:
            one, several = tmp_path / "1" / name, tmp_path / str(size) / name
            if name.startswith("ordered-"):
                assert_same_run(one, several)
            else:
                assert differences(one, several) < (5e-4 if name == "float32" else 1e-6), (name, size)


def test_two_processes_train_as_one_does(tmp_path):
    """Five tasks: shares of 3 and 2."""
    check_cases(tmp_path, ["promp", "inner-adam-trpo", "float32", "ordered-maml-trpo", "rl2", "checkpointing"], [2])


@pytest.mark.slow
def test_all_cases_by_two_to_five_processes(tmp_path):
    check_cases(tmp_path, list(rank_cases.CASES), [2, 3, 4, 5])


@pytest.mark.slow
def test_supervised_tasks_are_shared_too(tmp_path):
    arguments = "benchmarks.fewshot train sinusoid maml --iterations 20 --ordered-sums --validation-tasks 7"
    runs = [tmp_path / "one", tmp_path / "two"]
    for run, processes in zip(runs, (1, 2), strict=True):
        finish(launch(processes, *arguments.split(), "--meta-batch-size", 5, "--run-dir", run))
    assert_same_run(*runs)


def worker_of(agent, rank):
    """The process id of a rank, found among the children of torchrun."""
    for child in Path(f"/proc/{agent}/task/{agent}/children").read_text().split():
        if f"RANK={rank}".encode() in Path(f"/proc/{child}/environ").read_bytes().split(b"\0"):
            return int(child)
    raise AssertionError(f"no rank {rank}")


def killed(tmp_path, **changes):
    """A run of two processes, of which one is killed after a few iterations and both are started again."""
    path, config = write_config(tmp_path, iterations=9, checkpoint_every=2, validation_tasks=0, **changes)
    run = tmp_path / "killed"
    arguments = ("metarl", "train", "maml-trpo", "--config", path, "--run-dir", run)
    process = launch(2, *arguments, options=("--standalone", "--max-restarts", "1"))
    wait_for_iteration(run, 3, process)
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


def test_another_number_of_processes_is_warned_of(tmp_path):
    config = replace(rank_cases.CASES["maml"][1], iterations=0, validation_tasks=0)
    train("maml", config, tmp_path / "run")
    manifest = tmp_path / "run" / "checkpoints" / "00000000" / "manifest.json"
    entries = json.loads(manifest.read_text()) | {"processes": 2}
    del entries["sha256"]
    manifest.write_bytes(sealed(entries))
    with pytest.warns(UserWarning, match="trained by 2 processes, goes on with 1"):
        train("maml", config, tmp_path / "run", or_resume=True)

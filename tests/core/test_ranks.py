from dataclasses import replace

import pytest
import torch

from metarl.core.collectives import global_num_tasks, sum_over_tasks
from metarl.core.errors import Divergence, EnvironmentFault, RunError
from metarl.core.ordered_sums import on_share
from metarl.core.ranks import (
    all_reduce_max,
    all_reduce_sum,
    broadcast_rank0,
    broadcast_state,
    current,
    share,
    sync_errors,
)
from metarl.training.start import train
from tests.helpers.processes import Numbered, everyone, free_port


@pytest.mark.parametrize(("tasks", "ranks"), [(5, 1), (5, 2), (5, 4), (4, 4), (7, 3), (2, 4), (0, 2)])
def test_every_task_has_one_rank_and_shares_differ_by_one_at_most(tasks, ranks):
    shares = [share(tasks, Numbered(i, ranks)) for i in range(ranks)]
    assert [task for part in shares for task in range(part.start, part.stop)] == list(range(tasks))
    sizes = [part.stop - part.start for part in shares]
    assert max(sizes) - min(sizes) <= 1


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


def test_processes_that_do_not_meet_say_so(tmp_path, tiny_config, monkeypatch):
    place = {"RANK": 1, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    for name, value in place.items():
        monkeypatch.setenv(name, str(value))
    with pytest.raises(RunError, match="the processes of this launch did not meet"):
        train("maml-trpo", replace(tiny_config, rank_timeout=1.0), tmp_path / "run")

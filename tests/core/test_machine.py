import pytest
import torch

from metarl.core import machine
from metarl.core.errors import ConfigError
from metarl.core.machine import ELEMENTS_PER_THREAD, check_device, choose_threads


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_machine_without_a_gpu_says_so():
    with pytest.raises(ConfigError, match="--device = cuda; expected a device of this machine: "):
        check_device("cuda")


@pytest.mark.parametrize(
    ("elements", "cores", "busy", "processes", "short_spin", "threads"),
    [
        (10**9, 8, 0.2, 1, True, 8),
        (10**9, 8, 2.6, 1, True, 5),
        (10**9, 2, 3.0, 1, True, 1),
        (10**9, 8, 0.0, 2, True, 4),
        (10**9, 8, 0.0, 1, False, 4),
        (10**9, 1, 0.0, 1, False, 1),
        (10**9, 32, 0.0, 1, True, 16),
        (3 * ELEMENTS_PER_THREAD, 8, 0.0, 1, True, 3),
        (2 * ELEMENTS_PER_THREAD - 1, 8, 0.0, 1, True, 1),
        (0, 8, 0.0, 1, True, 1),
    ],
)
def test_threads_fit_workload_and_machine(monkeypatch, elements, cores, busy, processes, short_spin, threads):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(machine, "usable_cores", lambda: cores)
    monkeypatch.setattr(machine, "busy_cores", lambda: busy)
    monkeypatch.setattr(machine, "shorten_spin", lambda: short_spin)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    assert choose_threads(elements, processes=processes) == threads


def test_a_setting_of_the_user_wins(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert choose_threads(0) == 7

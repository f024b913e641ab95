import os
import subprocess
import sys

import pytest

from metarl.core import launch
from metarl.core.errors import ConfigError
from metarl.core.launch import (
    busy_cores,
    leave,
    pin_threads,
    place_of_launch,
    restarts,
    thread_environment,
    threads_of_user,
    usable_cores,
)


def test_the_place_is_what_torchrun_says(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "TORCHELASTIC_RESTART_COUNT"):
        monkeypatch.delenv(name, raising=False)
    assert (place_of_launch(), restarts()) == ((0, 1), 0)
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "5")
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "3")
    assert (place_of_launch(), restarts()) == ((2, 5), 3)


def test_one_process_alone_unwinds(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(SystemExit) as stop:
        leave(7)
    assert stop.value.code == 7


def test_one_of_several_ends_at_once_and_its_last_words_are_read():
    """Without unwinding: neither `finally` nor functions registered with atexit run."""
    code = (
        "import atexit; from metarl.core.launch import leave\n"
        "atexit.register(print, 'at exit')\n"
        "try:\n    print('saved'); leave(7)\nfinally:\n    print('unwound')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=os.environ | {"WORLD_SIZE": "2"}
    )
    assert (done.returncode, done.stdout) == (7, "saved\n")


def spin_of_child(code: str, **variables: str) -> list[str]:
    """Settings of OpenMP that a child process prints after `code`."""
    names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
    env = {name: value for name, value in os.environ.items() if name not in names} | variables
    show = f"{code}\nimport os\nfrom metarl.core.launch import shorten_spin\nprint(shorten_spin())\n"
    show += f"print(*(os.environ.get(name, '-') for name in {names}))"
    return subprocess.run(
        [sys.executable, "-c", show], capture_output=True, text=True, check=True, env=env
    ).stdout.splitlines()


def test_importing_metarl_shortens_the_spin_of_idle_threads():
    assert spin_of_child("import metarl") == ["True", "- 1000 1"]


@pytest.mark.parametrize("own", [{"OMP_WAIT_POLICY": "ACTIVE"}, {"GOMP_SPINCOUNT": "5"}, {"KMP_BLOCKTIME": "200"}])
def test_a_setting_of_the_user_stays(own):
    names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
    assert spin_of_child("import metarl", **own) == ["True", " ".join(own.get(name, "-") for name in names)]


def test_after_torch_the_setting_comes_too_late_for_this_process():
    assert spin_of_child("import torch\nimport metarl") == ["False", "- 1000 1"]


def test_child_processes_get_their_threads_and_the_short_spin(monkeypatch):
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"):
        monkeypatch.delenv(name, raising=False)
    env = thread_environment(3)
    assert (env["OMP_NUM_THREADS"], env["GOMP_SPINCOUNT"], env["KMP_BLOCKTIME"]) == ("3", "1000", "1")
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    assert "GOMP_SPINCOUNT" not in thread_environment(3)


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, float("inf")),
        ({"cpu.max": "max 100000\n"}, float("inf")),
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, float("inf")),
        ({"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2.0),
        ({"cpu.max": "nonsense"}, float("inf")),
    ],
)
def test_the_quota_of_a_control_group_is_read(tmp_path, files, cores):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert launch._quota(tmp_path) == cores


@pytest.mark.parametrize(("quota", "cores"), [(float("inf"), 4), (2.5, 2), (0.5, 1), (9.0, 4)])
def test_cores_are_limited_by_affinity_and_quota(monkeypatch, quota, cores):
    monkeypatch.setattr(launch, "_quota", lambda group: quota)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)
    assert usable_cores() == cores


def test_busy_cores_are_those_of_other_processes(monkeypatch):
    """Of 50 ticks in half a second at 100 a second, this process used 0.1 s: others used 0.4 s, or 0.8 of a core."""
    ticks, own = iter((1000, 1050)), iter((2.0, 2.1))
    monkeypatch.setattr(launch, "_ticks", lambda: next(ticks))
    monkeypatch.setattr(launch.os, "sysconf", lambda name: 100)
    monkeypatch.setattr(launch.time, "process_time", lambda: next(own))
    monkeypatch.setattr(launch.time, "sleep", lambda seconds: None)
    assert busy_cores(0.5) == pytest.approx(0.8)


@pytest.mark.parametrize(("value", "threads"), [("3", 3), ("4,2", 4), ("", None), ("many", None), ("0", None)])
def test_threads_of_the_user(monkeypatch, value, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert threads_of_user() == threads


def test_pinned_threads_count_as_the_users(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    pin_threads(None)
    assert threads_of_user() == 1
    pin_threads(5)
    assert threads_of_user() == 5
    with pytest.raises(ConfigError, match="--threads = 0; expected at least 1"):
        pin_threads(0)

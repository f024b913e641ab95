import os
import subprocess
import sys

import pytest

from metarl.core.launch import leave, place_of_launch, restarts, thread_environment


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

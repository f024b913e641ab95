import os
import subprocess
import sys

import pytest

from metarl.core.launch import leave, place_of_launch, restarts


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

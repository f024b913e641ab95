import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_complaints_read_the_same_in_any_encoding(encoding, tmp_path):
    for arguments, expected in (
        (["evaluate", "r", "--tasks", "x"], "metarl: error: --tasks = x; expected a whole number\n"),
        (["evaluate"], "metarl: error: missing: RUN Run directory. (required)\n"),
        (["resume", "r", "--iteration", "3"], "metarl: error: unknown option --iteration"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "metarl", *arguments], capture_output=True, text=True, check=False, cwd=tmp_path,
            env=os.environ | {"PYTHONIOENCODING": encoding},
        )  # fmt: skip
        assert done.returncode == 2
        assert done.stderr.startswith(expected)
        assert len(done.stderr.splitlines()) == 1


FAMILY = """
import warnings
import loud_package_of_a_test
import metarl
from gymnasium.spaces import Box, Dict
warnings.warn("the user's own")
family = metarl.declare_family("Pendulum-v1", Dict({"m": Box(0.5, 2.0, ())}), set_task=loud_package_of_a_test.later)
"""
PACKAGE = """
import warnings
warnings.warn("pkg_resources is deprecated")
def later(env, task):
    warnings.warn("the arm is bent")
"""


def test_warnings_of_packages_about_their_own_imports_are_left_out(tmp_path, monkeypatch):
    """What they say later, and what the user's module says, is shown."""
    packages = tmp_path / "site-packages"
    packages.mkdir()
    (packages / "loud_package_of_a_test.py").write_text(PACKAGE)
    (tmp_path / "family_of_a_test.py").write_text(FAMILY)
    done = subprocess.run(
        [sys.executable, "-m", "metarl", "check", "family_of_a_test:family"], capture_output=True, text=True,
        check=False, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(packages)},
    )  # fmt: skip
    shown = done.stderr.splitlines()
    assert shown[0] == "metarl: warning: the user's own"
    assert shown[1] == "metarl: warning: the arm is bent"
    assert "pkg_resources" not in done.stderr

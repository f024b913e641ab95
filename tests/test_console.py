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

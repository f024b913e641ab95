"""`python -m benchmarks.fewshot`."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_program_lists_its_commands_and_ends_with_their_exit_codes():
    def call(*arguments):
        command = [sys.executable, "-m", "benchmarks.fewshot", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)

    listed = call("--help")
    assert listed.returncode == 0
    for name in ("train", "resume", "evaluate", "compare", "explain"):
        assert f"\n  {name} " in listed.stdout
    wrong = call("trian")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("fewshot: error: unknown command 'trian'")

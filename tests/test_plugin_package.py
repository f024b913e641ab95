"""The example package: installed on its own, found by its entry point, whole, trainable."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "examples" / "acrobots"


def test_it_is_installed_found_checked_trained_and_evaluated(tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "source")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
         "--no-build-isolation", "--target", str(tmp_path / "installed"), str(tmp_path / "source")],
        check=True, capture_output=True,
    )  # fmt: skip
    place = tmp_path / "elsewhere"
    place.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}

    def metarl(line):
        command = [sys.executable, "-m", "metarl", *line.split()]
        done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "acrobots: horizon 200" in metarl("families")
    verdicts = {line[:4] for line in metarl("check acrobots").splitlines()}
    assert verdicts <= {"pass", "skip"}
    metarl(
        "train maml-trpo --family acrobots --iterations 1 --meta-batch-size 2 --episodes 2 --validation-tasks 0 "
        "--workers 2 --run-dir run"
    )
    assert "worse after adaptation" in metarl("evaluate run --tasks 2 --episodes 2 --steps 1")


def test_the_tutorial_shows_this_package_in_fifteen_lines():
    page = (ROOT / "docs" / "your-environment.md").read_text()
    shown = re.search(r"```python\n# acrobots.py\n(.*?)```", page, re.DOTALL)[1].strip()
    assert (PACKAGE / "acrobots.py").read_text().partition('"""\n\n')[2].strip() == shown
    assert len(shown.splitlines()) <= 15

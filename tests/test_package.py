"""The wheel: what is in it, and that it works where nothing else is."""

import contextlib
import os
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINNED = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)


@pytest.mark.parametrize("extra", ["export", "mujoco", "plot", "report", "sb3", "video", "metaworld"])
def test_an_extra_installs_versions_that_the_tests_cover(extra):
    """What is installed here is in the range, and where a version is pinned the next minor version is not."""
    for text in PROJECT["optional-dependencies"][extra]:
        requirement = Requirement(text)
        if requirement.name != "packaging":  # versions by year
            assert any(bound.operator == "<" for bound in requirement.specifier), text
        with contextlib.suppress(PackageNotFoundError):
            assert requirement.specifier.contains(version(requirement.name)), text
        if requirement.name in PINNED:
            major, minor, *_ = PINNED[requirement.name].split(".")
            assert requirement.specifier.contains(PINNED[requirement.name]), text
            assert not requirement.specifier.contains(f"{major}.{int(minor) + 1}.0"), text


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from what git would commit, so that nothing left lying about gets in."""
    place = tmp_path_factory.mktemp("wheel")
    files = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in files.stdout.splitlines():
        if (ROOT / name).is_file():
            target = place / "source" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(place), str(place / "source")],
        check=True,
        capture_output=True,
    )
    return next(place.glob("*.whl"))


def test_contents_of_the_wheel(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for name in (
        "metarl/cli.py",
        "metarl/py.typed",
        "metarl/config/presets/finn17-navigation2d.toml",
        "metarl/report/templates/report.html",
        "metarl/tuning/spaces/maml.toml",
        "metarl_envs/navigation2d.py",
    ):
        assert name in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not any(name.startswith(("tests", "benchmarks", "envs")) for name in names)


def use(python, place):
    """Train and evaluate from an installed wheel, in a folder without the source tree."""
    run = [python, "-I", "-m", "metarl"]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}

    def call(*arguments):
        return subprocess.run(
            [*run, *arguments], cwd=place, env=environment, capture_output=True, text=True, check=True
        ).stdout

    assert "variant raw-action" in call("families")
    call("train", "maml-trpo", "--iterations", "1", "--meta-batch-size", "2", "--episodes", "2", "--run-dir", "run")
    assert "worse after adaptation" in call("evaluate", "run", "--tasks", "2", "--episodes", "2", "--steps", "1")


def test_installed_wheel_beside_our_dependencies(wheel, tmp_path):
    """A new environment that borrows this one's dependencies, but not its metarl."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    site = next((tmp_path / "venv" / "lib").glob("python*/site-packages"))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    ours = Path(sys.prefix) / "lib" / site.parent.name / "site-packages"
    borrowed = tmp_path / "borrowed"
    borrowed.mkdir()
    for entry in ours.iterdir():
        if not entry.name.startswith(("metarl", "__editable__")):
            (borrowed / entry.name).symlink_to(entry)
    (site / "borrowed.pth").write_text(f"{borrowed}\n")
    use(str(python), tmp_path)


@pytest.mark.slow
def test_wheel_in_an_empty_environment(wheel, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "-c", str(ROOT / "constraints.txt"), str(wheel)],
        check=True,
        cwd=tmp_path,
    )
    use(python, tmp_path)

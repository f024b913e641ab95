import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import metarl
from metarl.config.toml import to_mapping
from metarl.core.errors import FamilyError, RunError
from metarl.runs.directory import read_config
from metarl.runs.policy_files import read_policy
from metarl.runs.sources import check_names_no_file, metarl_commit, naming_source, recorded_file
from metarl.training.start import train
from tests.helpers.checkpoints import rewrite

ROOT = Path(__file__).parents[2]
FAMILY = """
from gymnasium.spaces import Box, Dict
import metarl
family = metarl.declare_family("Pendulum-v1", Dict({"m": Box(0.5, 2.0, ())}), horizon=3, name="swings")
"""


def call(place, *arguments):
    """metarl in a process of its own, which starts in `place`."""
    return subprocess.run(
        [sys.executable, "-m", "metarl", *map(str, arguments)], cwd=place, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a module of a user, a run that was trained there, and another folder."""
    place = tmp_path_factory.mktemp("user")
    for name in ("here", "elsewhere"):
        (place / name).mkdir()
    (place / "here" / "swings_of_a_user.py").write_text(FAMILY)
    options = "--iterations 1 --meta-batch-size 2 --episodes 2 --validation-tasks 0 --policy.hidden-sizes 4"
    done = call(place / "here", "train", "maml", "--family", "./swings_of_a_user.py:family", "--run-dir", place / "run",
                *shlex.split(options))  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return place


def test_a_run_names_the_module_and_its_manifests_the_file(place):
    assert read_config(place / "run")[1].family == "swings_of_a_user:family"
    assert recorded_file(place / "run") == str(place / "here" / "swings_of_a_user.py")


def test_from_another_folder_the_error_names_both_and_the_users_file_is_taken(place):
    budget = ("--tasks", 2, "--episodes", 2, "--steps", 0)
    file = place / "here" / "swings_of_a_user.py"
    for command in (("evaluate", place / "run", *budget), ("resume", place / "run"),
                    ("adapt", place / "run", "--task", '{"m": 1.0}', "--out", "p")):  # fmt: skip
        done = call(place / "elsewhere", *command)
        assert (done.returncode, done.stderr) == (
            2, "metarl: error: family 'swings_of_a_user:family': no module 'swings_of_a_user' in "
            f"{place / 'elsewhere'} or on Python's path; in training it was {file}; add --family {file}:family\n",
        )  # fmt: skip
        done = call(place / "elsewhere", *command, "--family", "../here/swings_of_a_user.py:family")
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("family", ["./evil.py:family", "evil.py:family", "/tmp/evil.py:family", "runs/evil:family"])
def test_a_run_that_names_a_file_is_refused_and_the_file_is_not_executed(place, tmp_path, monkeypatch, family):
    monkeypatch.chdir(tmp_path)
    Path("evil.py").write_text("from pathlib import Path\nPath('executed').touch()")
    shutil.copytree(place / "run", tmp_path / "run")
    text = (tmp_path / "run" / "config.toml").read_text()
    (tmp_path / "run" / "config.toml").write_text(text.replace("swings_of_a_user:family", family))
    for use in (lambda: metarl.evaluate(tmp_path / "run"), lambda: metarl.resume(tmp_path / "run"),
                lambda: metarl.load(tmp_path / "run")):  # fmt: skip
        with pytest.raises(RunError, match="expected a name or module:attribute, not a file"):
            use()
    assert not Path("executed").exists()


def test_a_recorded_file_is_named_and_not_executed(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    evil = tmp_path / "evil.py"
    evil.write_text("from pathlib import Path\nPath('executed').touch()")
    shutil.copytree(place / "run", tmp_path / "run")
    rewrite(tmp_path / "run" / "checkpoints" / "00000001", family_file=str(evil))
    with pytest.raises(FamilyError, match=f"in training it was {evil}; add family {evil}:family"):
        metarl.evaluate(tmp_path / "run")
    assert not Path("executed").exists()


def test_a_saved_policy_names_no_file(tmp_path, navigation_run):
    metarl.load(navigation_run).save(tmp_path / "p.safetensors")
    config = read_policy(tmp_path / "p.safetensors").config
    check_names_no_file(config, "p")
    with pytest.raises(RunError, match=r"^p: family = './evil.py:family'; expected a name"):
        check_names_no_file(replace(config, family="./evil.py:family"), "p")
    assert to_mapping(config)["family"] == "navigation2d"


def test_a_module_of_a_package_is_found_from_the_packages_folder(tmp_path, monkeypatch, tiny_config):
    monkeypatch.syspath_prepend(str(tmp_path / "code"))
    (tmp_path / "code" / "robots_of_a_user").mkdir(parents=True)
    (tmp_path / "code" / "robots_of_a_user" / "arms.py").write_text(FAMILY)
    config = replace(tiny_config, family="robots_of_a_user.arms:family", variant=None, iterations=0, validation_tasks=0)
    train("maml-trpo", config, tmp_path / "run")
    missing = FamilyError("family 'x': no module")
    missing.__cause__ = ModuleNotFoundError(name="robots_of_a_user")
    with (
        pytest.raises(FamilyError, match=f"set PYTHONPATH={tmp_path / 'code'}, or go there"),
        naming_source(tmp_path / "run", "robots_of_a_user.arms:family"),
    ):
        raise missing
    # What the module itself imports is another matter.
    other = FamilyError("family 'x': no module")
    other.__cause__ = ModuleNotFoundError(name="numpyy")
    with (
        pytest.raises(FamilyError, match=r"^family 'x': no module$"),
        naming_source(tmp_path / "run", "robots_of_a_user.arms:family"),
    ):
        raise other


def test_the_commit_of_a_clone_is_known():
    commit = metarl_commit()
    if not (ROOT / ".git").exists():
        assert commit is None
    elif commit is not None:  # git is installed, and trusts the clone
        assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", commit)

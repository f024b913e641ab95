"""Ids of the families that ship: which there are, when, and that Gymnasium's checker accepts what they build."""

import subprocess
import sys

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env

from metarl.families.ids import family_id
from metarl.families.ids.installed import registered
from tests.helpers.families import needs

SHIPPED = {family_id(entry.attr): name for name, entry in registered().items() if "metarl_envs" in entry.module}


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_every_family_has_an_id():
    assert len(SHIPPED) == sum("metarl_envs" in entry.module for entry in registered().values()) >= 23
    assert all(name in gymnasium.registry for name in SHIPPED)
    assert {"metarl/CheetahVelocity-v0", "metarl/Navigation2D-v0", "metarl/ML10-v0"} <= SHIPPED.keys()


@pytest.mark.parametrize("first", ["metarl", "gymnasium"])
def test_importing_metarl_is_enough(first):
    second = "gymnasium" if first == "metarl" else "metarl"
    code = (
        f"import {first}, {second}, sys; print('metarl/Navigation2D-v0' in gymnasium.registry, 'torch' in sys.modules)"
    )
    assert run(code) == ["True", "False"]


def test_importing_metarl_alone_stays_light():
    assert run("import metarl, sys; print('gymnasium' in sys.modules)") == ["False"]


def test_the_package_of_an_id_is_imported():
    code = "import gymnasium; print(gymnasium.make('metarl_envs:metarl/Navigation2D-v0', goal=[0.5, 0]).unwrapped.task)"
    assert "0.5" in " ".join(run(code))


@pytest.mark.parametrize("env_id", SHIPPED)
def test_gymnasiums_checker_accepts(env_id):
    needs(SHIPPED[env_id])
    env = gymnasium.make(env_id)
    check_env(env.unwrapped, skip_render_check=True)
    env.close()


def test_whatever_imports_gymnasium_first():
    """Also a module of the room itself, which is not finished when Gymnasium is."""
    for module in ("installed", "register", "task_env", "task_vector_env"):
        code = f"import metarl.families.ids.{module}, gymnasium; print('metarl/Navigation2D-v0' in gymnasium.registry)"
        assert run(code) == ["True"]

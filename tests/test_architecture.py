"""Which way imports go, what rooms show of themselves, how large they are, and what starts without torch."""

import resource
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.helpers import architecture as rules
from tests.helpers.architecture import Repository

ROOT = Path(__file__).parents[1]

SMALL = {
    "benchmarks/fewshot/__main__.py": "a program's start",
    "benchmarks/program.py": "the start that the benchmarks' programs share",
    "benchmarks/results/cheetah_memory.py": "two settings of a table, as duan16 and varibad_gridnav",
    "benchmarks/results/__main__.py": "a program's start",
    "benchmarks/results/finished_run.py": "one question that several scripts ask of a run",
    "benchmarks/speed/__main__.py": "a program's start",
    "metarl/__main__.py": "a program's start",
    "metarl/core/timing.py": "used by every outer update, and depends on the ranks",
    "metarl/training/early_stopping.py": "one decision, as a function of recorded scores alone",
    "metarl/training/signals.py": "signals are a concern of their own, for one seed and for several",
}
"""Files below 40 lines, and why each stands by itself."""

RULES = {
    rule.__name__: rule
    for rule in (
        rules.known_rooms,
        rules.upward_imports,
        rules.imports_of_algorithms,
        rules.outer_updates,
        rules.imports_of_envs,
        rules.imports_of_benchmarks,
        rules.circles,
        rules.private_imports,
        rules.doors,
        rules.rooms_without_door,
        rules.crowded_rooms,
        rules.packages,
        rules.untested_files,
        rules.imports_of_tests,
    )
} | {"sizes": partial(rules.sizes, small=SMALL)}


@pytest.fixture(scope="module")
def repository():
    return Repository.read(ROOT)


@pytest.mark.parametrize("name", RULES)
def test_the_repository_keeps(repository, name):
    violations = RULES[name](repository)
    assert violations == [], "\n".join(violations)


DOOR = """
from typing import TYPE_CHECKING
from metarl.core.imports import lazy_door
if TYPE_CHECKING:
    from metarl.core.errors import ConfigError as ConfigError
    from metarl.core.params import tree_where as tree_where
__getattr__, __dir__, __all__ = lazy_door(__name__, {"metarl.core.errors": ("ConfigError", "errors", "_hidden")})
"""

PLANTED = {
    "an import upwards": (
        "upward_imports",
        {"metarl/core/new.py": "from metarl.runs import RunLock"},
        ["metarl/core/new.py:1: room core imports metarl.runs.directory of room runs"],
    ),
    "an import upwards within a function": (
        "upward_imports",
        {"metarl/core/new.py": "def f():\n    import metarl.agent"},
        ["metarl/core/new.py:2: room core imports metarl.agent of room root"],
    ),
    "an import upwards for type checkers": (
        "upward_imports",
        {"metarl/rl/new.py": "if TYPE_CHECKING:\n    from metarl.sb3.names import to_sb3"},
        ["metarl/rl/new.py:2: room rl imports metarl.sb3.names of room sb3"],
    ),
    "a relative import upwards": (
        "upward_imports",
        {"metarl/core/new.py": "from ..runs import listing"},
        ["metarl/core/new.py:1: room core imports metarl.runs.listing of room runs"],
    ),
    "an import across a level": (
        "upward_imports",
        {"metarl/rl/new.py": "from metarl.algorithms import adam_step"},
        ["metarl/rl/new.py:1: room rl imports metarl.algorithms.adam of room algorithms"],
    ),
    "an import out of the package": (
        "upward_imports",
        {"metarl/families/new.py": "import metarl_envs.navigation2d"},
        ["metarl/families/new.py:1: metarl imports metarl_envs.navigation2d"],
    ),
    "an algorithm on reinforcement learning": (
        "imports_of_algorithms",
        {"metarl/algorithms/new.py": "from metarl.rl import Episodes"},
        ["metarl/algorithms/new.py:1: an algorithm imports metarl.rl.data"],
    ),
    "an algorithm on another": (
        "imports_of_algorithms",
        {"metarl/algorithms/new.py": "from metarl.algorithms.maml import meta_step"},
        ["metarl/algorithms/new.py:1: metarl.algorithms.new imports the outer update metarl.algorithms.maml"],
    ),
    "an outer update that is not known": (
        "outer_updates",
        {"metarl/algorithms/new.py": "def meta_step(): ..."},
        ["metarl/algorithms/new.py: missing in OUTER_UPDATES, or without a meta_step"],
    ),
    "a room without a place in the order": (
        "known_rooms",
        {"metarl/attic/__init__.py": ""},
        ["metarl/attic: is in ROOM_ORDER or a folder, but not both"],
    ),
    "a family that uses more than a plug-in may": (
        "imports_of_envs",
        {"envs/metarl_envs/new.py": "from metarl.core import Key\nfrom metarl.core.errors import FamilyError"},
        ["envs/metarl_envs/new.py:1: a family imports metarl.core.prng"],
    ),
    "a benchmark that uses the tests": (
        "imports_of_benchmarks",
        {"benchmarks/new.py": "from tests.helpers.cli import run_main"},
        ["benchmarks/new.py:1: a benchmark imports tests.helpers.cli"],
    ),
    "a circle of two": (
        "circles",
        {"metarl/core/one.py": "import metarl.core.two", "metarl/core/two.py": "def f():\n    import metarl.core.one"},
        ["circle of imports: metarl.core.one, metarl.core.two"],
    ),
    "a circle through a door": (
        "circles",
        {"metarl/core/errors.py": "class ConfigError: ...\nfrom metarl.core.new import x",
         "metarl/core/new.py": "from metarl.core import ConfigError\nx = 1"},
        ["circle of imports: metarl.core.errors, metarl.core.new"],
    ),
    "a private name of another room": (
        "private_imports",
        {"metarl/rl/new.py": "from metarl.core.prng import _mix"},
        ["metarl/rl/new.py:1: takes _mix of metarl.core.prng, which no door of core has"],
    ),
    "a name that no door has": (
        "private_imports",
        {"benchmarks/new.py": "from metarl.rl.rollouts import rollout_with_memory"},
        ["benchmarks/new.py:1: takes rollout_with_memory of metarl.rl.rollouts, which no door of rl has"],
    ),
    "a whole file of another room": (
        "private_imports",
        {"metarl/rl/new.py": "import metarl.core.prng"},
        ["metarl/rl/new.py:1: takes the whole module of metarl.core.prng, which no door of core has"],
    ),
    "a door whose lists differ": (
        "doors",
        {"metarl/core/__init__.py": DOOR},
        [
            "metarl/core/__init__.py: _hidden is of metarl.core.errors in lazy_door and of None under TYPE_CHECKING",
            "metarl/core/__init__.py: _hidden is private",
            "metarl/core/__init__.py: _hidden is not defined in metarl.core.errors",
            "metarl/core/__init__.py: errors is of metarl.core.errors in lazy_door and of None under TYPE_CHECKING",
            "metarl/core/__init__.py: errors is the name of a submodule",
            "metarl/core/__init__.py: errors is not defined in metarl.core.errors",
            "metarl/core/__init__.py: tree_where is of None in lazy_door and of metarl.core.params under TYPE_CHECKING",
            "metarl/core/__init__.py: tree_where is not defined in None",
        ],
    ),
    "a room without a door": (
        "rooms_without_door",
        {"metarl/core/__init__.py": "from metarl.core.errors import ConfigError"},
        ["metarl/core/__init__.py: is no lazy_door"],
    ),
    "a crowded room": (
        "crowded_rooms",
        {f"metarl/rl/new{i}.py": "" for i in range(9)},
        ["metarl.rl: 21 files beside its door; at most 12"],
    ),
    "a file that is too long": (
        "sizes",
        {"metarl/core/new.py": "x = 1\n" * 401},
        ["metarl/core/new.py: 401 lines; at most 400"],
    ),
    "a file that is too short": (
        "sizes",
        {"metarl/core/new.py": "x = 1\n" * 39},
        ["metarl/core/new.py: 39 lines; a file below 40 needs a reason in SMALL"],
    ),
    "a reason that is not needed any more": (
        "sizes",
        {"metarl/core/timing.py": "x = 1\n" * 40},
        ["metarl/core/timing.py: 40 lines; its entry in SMALL can go"],
    ),
    "a package that is not listed": (
        "packages",
        {"metarl/core/deep/new.py": "x = 1"},
        ["metarl.core.deep: files without an __init__.py"],
    ),
    "a file without tests": (
        "untested_files",
        {"metarl/core/new.py": "x = 1"},
        ["metarl/core/new.py: has no tests/core/test_new.py"],
    ),
    "tests without a test": (
        "untested_files",
        {"tests/core/test_prng.py": "x = 1"},
        ["tests/core/test_prng.py: has no test"],
    ),
    "a test that imports a test": (
        "imports_of_tests",
        {"tests/new.py": "from tests.core.test_prng import x\nfrom conftest import y"},
        ["tests/new.py:1: imports tests.core.test_prng", "tests/new.py:2: imports conftest"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("violation", PLANTED)
def test_a_violation_is_found(repository, violation):
    """Nothing but what was planted is reported, since the repository itself keeps the rule."""
    rule, texts, expected = PLANTED[violation]
    assert RULES[rule](repository.planted(texts)) == expected


def git(*arguments):
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.skipif(shutil.which("git") is None or not (ROOT / ".git").exists(), reason="no git repository here")
def test_source_files_are_those_that_git_has(repository):
    """None that .gitignore hides or that was not added, and none that is missing."""
    known = {place for place in git("ls-files", "--", *rules.FOLDERS) if place.endswith(".py")}
    assert {file.place for file in repository.files} == known


@pytest.fixture
def copy(tmp_path):
    """A copy of the package and of the project's settings."""
    shutil.copytree(ROOT / "metarl", tmp_path / "metarl", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def ruff(place):
    return subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--no-cache", "--output-format", "concise", "metarl"],
        cwd=place, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_an_undefined_name_is_reported(copy):
    pytest.importorskip("ruff", reason="ruff is not installed")
    assert ruff(copy).returncode == 0, ruff(copy).stdout
    path = copy / "metarl" / "core" / "seed_axis.py"
    path.write_text(
        path.read_text() + "\n\ndef count(values: Float[Tensor, ' tasks']) -> int:\n    return lenth(values)\n"
    )
    found = ruff(copy)
    assert found.returncode == 1
    assert "F821 Undefined name `lenth`" in found.stdout
    assert found.stdout.count("F821") == 1, found.stdout


LIGHT = [
    "metarl",
    "metarl.cli",
    "metarl.console",
    *(f"metarl.{room}" for rooms in rules.ROOM_ORDER for room in rooms if room != "root"),
    *(f"metarl.config.{path.stem}" for path in sorted((ROOT / "metarl" / "config").glob("[a-z]*.py"))),
    "metarl.core.errors",
    "metarl.core.launch",
    "metarl.core.prng",
    "metarl.families.checks",
    "metarl.families.registry",
    "metarl.families.workers",
    "metarl.runs.directory",
    "metarl.runs.listing",
    "metarl.runs.manifest",
    "metarl.training.progress",
    "metarl.evaluation.tables",
    "metarl_envs.half_cheetah",
    "metarl_envs.navigation2d",
]
"""Modules that must be there at once; torch takes longer than all of them."""


def test_light_modules_load_no_torch():
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        "    if 'torch' in sys.modules:\n"
        "        sys.exit(f'{name} loads torch')\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *LIGHT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_room_shows_its_names_and_loads_a_file_when_one_is_used():
    code = (
        "import sys, metarl.families\n"
        "assert 'UniformSplits' in dir(metarl.families) and 'metarl.families.splits' not in sys.modules\n"
        "assert metarl.families.UniformSplits.__name__ == 'UniformSplits'\n"
        "assert 'metarl.families.splits' in sys.modules and 'metarl.families.mujoco' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def processor_time():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def processor_seconds(*arguments, output=""):
    """Processor time of a Python process, which a busy machine hardly stretches; the least of three."""
    elapsed = []
    for _ in range(3):
        start = processor_time()
        done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)
        elapsed.append(processor_time() - start)
        assert output in done.stdout
    return min(elapsed)


def test_help_is_instant():
    """Measured against the loading of torch, which is what would make it slow, and as much slower on a slow machine."""
    yardstick = processor_seconds("-c", "import torch")
    for arguments in (["--help"], ["train", "maml-trpo", "--help"], ["evaluate", "--help"]):
        elapsed = processor_seconds("-m", "metarl", *arguments, output="usage")
        assert elapsed < 0.3 * yardstick, f"{arguments}: {elapsed:.2f} s; torch: {yardstick:.2f} s"

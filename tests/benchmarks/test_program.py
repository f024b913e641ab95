"""Programs of several scripts."""

import sys

import pytest

from benchmarks.program import run_program

SCRIPTS = {"first-script": ("first_script", "the first"), "other": ("first_script:other", "another function")}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with one module, that notes the arguments of its functions."""
    (tmp_path / "some_scripts").mkdir()
    (tmp_path / "some_scripts" / "__init__.py").write_text("calls = []\n")
    (tmp_path / "some_scripts" / "first_script.py").write_text(
        "from metarl.core.errors import ConfigError\n"
        "from some_scripts import calls\n"
        "def main(arguments):\n    calls.append(('main', arguments))\n"
        "def other(arguments):\n    raise ConfigError('--x = 1; expected 2')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield lambda *arguments: run_program("some_scripts", "Purpose.", SCRIPTS, arguments)
    for name in [name for name in sys.modules if name.startswith("some_scripts")]:
        del sys.modules[name]


@pytest.mark.parametrize("name", ["first-script", "first_script"])
def test_a_name_runs_its_function_with_the_other_arguments(package, name):
    assert package(name, "--size_of", "3") == 0
    assert sys.modules["some_scripts"].calls == [("main", ["--size_of", "3"])]


def test_errors_of_the_user_are_one_line(package, capsys):
    assert package("other") == 2
    assert capsys.readouterr().err == "some_scripts: error: --x = 1; expected 2\n"


def test_the_listing(package, capsys):
    for arguments in ((), ("--help",), ("-h",)):
        assert package(*arguments) == 0
        out = capsys.readouterr().out
        assert out.startswith("usage: python -m some_scripts NAME [OPTIONS]\n\nPurpose.\n")
        assert "\n  first-script  the first\n  other         another function\n" in out
    assert "some_scripts.first_script" not in sys.modules

"""`python -m benchmarks.results`: the listing, and the script of each name."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.program import run_program
from benchmarks.results.__main__ import PURPOSE, SCRIPTS

ROOT = Path(__file__).parents[3]


def run(*arguments):
    return run_program("benchmarks.results", PURPOSE, SCRIPTS, arguments)


def test_help_lists_the_names_and_loads_no_torch():
    code = (
        "import runpy, sys; sys.argv = ['x', '--help']\n"
        "try: runpy.run_module('benchmarks.results', run_name='__main__')\n"
        "except SystemExit as stop: sys.exit(stop.code or 3 * ('torch' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    for name, (_, summary) in SCRIPTS.items():
        assert any(line.split() == [name, *summary.split()] for line in done.stdout.splitlines())


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_name_has_its_options(name, capsys):
    with pytest.raises(SystemExit) as stop:
        run(name, "--help")
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: python -m benchmarks.results {name} ")
    assert "--out" in out


def test_an_unknown_name_is_one_line_with_the_nearest(capsys):
    assert run("compare_method") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("results: error: unknown command 'compare-method'")
    assert err.endswith("did you mean 'compare-methods'?\n")
    assert err.count("\n") == 1


def test_an_unknown_option_is_one_line_with_the_nearest(capsys):
    assert run("compare-methods", "--family", "1") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("results: error: unknown option --family ")
    assert err.endswith("did you mean '--families'?\n")


def test_every_script_has_a_name():
    named = {target.partition(":")[0] for target, _ in SCRIPTS.values()}
    files = {path.stem for path in ROOT.glob("benchmarks/results/*.py")}
    assert files - named == {"__init__", "__main__", "finished_run", "in_context", "methods"}

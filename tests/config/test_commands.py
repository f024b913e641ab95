from dataclasses import fields
from pathlib import Path

import pytest
import tyro

from metarl.config import commands
from metarl.config.evaluation import FamilyEvaluation, Worth
from metarl.config.run import fields_of


def parsed(options, line):
    return tyro.cli(options, args=line.split())


def test_runs_are_positional_and_the_rest_is_named():
    options = parsed(commands.EvaluateOptions, "runs/a --tasks 3 --variant wide --json out.json")
    assert (options.run, options.tasks, options.variant, options.json) == (Path("runs/a"), 3, "wide", Path("out.json"))
    options = parsed(commands.CompareOptions, "a b c --choose-at 2 --scratch")
    assert (options.runs, options.choose_at, options.scratch) == ((Path("a"), Path("b"), Path("c")), 2, True)
    options = parsed(commands.ResumeOptions, "a --extend-schedule --accept-numerics")
    assert (options.run, options.iterations, options.extend_schedule, options.accept_numerics) == (
        Path("a"), None, True, True,
    )  # fmt: skip


def test_an_evaluation_has_the_options_of_the_function():
    """The command line offers what `FamilyEvaluation` has, and beside it where the result goes."""
    shared = {entry.name: entry.default for entry in fields(FamilyEvaluation)}
    there = {entry.name: entry.default for entry in fields(commands.EvaluateOptions)}
    assert {name: there[name] for name in shared} == shared
    assert there.keys() - shared.keys() == {"run", "json", "plot"}


@pytest.mark.parametrize("name", [name for name in vars(commands) if name.endswith("Options")])
def test_every_option_is_described(name):
    source = Path(commands.__file__).read_text()
    for option in fields_of(getattr(commands, name)):
        declared = source.find(f"    {option}: ")
        if declared < 0:  # inherited from the options of an evaluation
            assert option in fields_of(FamilyEvaluation) | fields_of(Worth), option
            continue
        assert source[source.index("\n", declared) :].lstrip().startswith('"""'), option

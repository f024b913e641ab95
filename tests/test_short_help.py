from dataclasses import dataclass

import pytest

from metarl.config.algorithms import MamlTrpoConfig
from metarl.config.commands import RunOptions
from metarl.config.registry import ALGORITHMS
from metarl.config.run import fields_of, option_name
from metarl.short_help import COMMON, documentation, short_help
from tests.helpers.cli import metarl


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_help_is_short_and_says_where_the_rest_is(algorithm):
    code, out, err = metarl(f"train {algorithm} --help")
    assert (code, err) == (0, "")
    assert len(out.splitlines()) <= 40
    assert max(map(len, out.splitlines())) <= 100
    assert "  --iterations            Meta-iterations in total. (default: 100)" in out
    rest = out.splitlines()[-1]
    assert rest.startswith(f"metarl train {algorithm} --help-all lists all options, ")
    known = set(fields_of(ALGORITHMS[algorithm].config)) | set(fields_of(RunOptions))
    unused = set(ALGORITHMS[algorithm].config().unused())
    assert f" {len(known - (set(COMMON) - unused))} more." in rest
    for name in unused & set(COMMON):
        assert f"  {option_name(name)} " not in out
    assert metarl(f"train {algorithm} -h")[1] == out


def test_all_options_are_listed_when_they_are_asked_for():
    code, out, err = metarl("train maml-trpo --help-all")
    assert (code, err) == (0, "")
    for name in (*fields_of(MamlTrpoConfig), *fields_of(RunOptions)):
        assert f"--{name.replace('_', '-')}" in out, name


def test_defaults_are_those_of_the_chosen_preset():
    out = metarl("train maml-trpo --config finn17-navigation2d --help")[1]
    assert "(default: 0.5)" in out
    assert "finn17-navigation2d" in out


@dataclass(frozen=True)
class Own(MamlTrpoConfig):
    """An algorithm of one's own."""

    episodes: int = 7
    """Episodes of
    each task."""
    bare: int = 3


def test_every_common_option_has_a_docstring():
    known = {
        name: kind
        for kind in (*(found.config for found in ALGORITHMS.values()), RunOptions)
        for name in fields_of(kind)
    }
    assert set(COMMON) <= set(known)
    assert [name for name in COMMON if not documentation(known[name], name)] == []
    assert documentation(Own, "episodes") == "Episodes of each task."
    assert documentation(Own, "gamma") == "Discount factor."
    assert documentation(Own, "bare") == ""
    text = short_help("metarl train own:Own", "one's own", "the algorithm", RunOptions(), Own())
    assert "Episodes of each task. (default: 7)" in text

"""Spaces as text, as files and as shipped."""

import pytest

from metarl.config.algorithms import MamlConfig, PretrainConfig, ReptileConfig
from metarl.config.registry import ALGORITHMS
from metarl.config.run import value_of
from metarl.config.validation import validate
from metarl.core.errors import ConfigError
from metarl.tuning.space import (
    Choices,
    Range,
    load_space,
    parse_space,
    shipped_space,
    shipped_spaces,
    space_to_search,
    values_of,
    with_values,
)


def test_ranges_and_lists_on_the_command_line():
    space = parse_space(
        ["adam.lr=log:1e-4:1e-2", "--inner.first-order=true,false", "inner.later_lr=none,0.05", "inner.steps=1:4",
         "policy.activation=tanh,relu", "policy.hidden_sizes=64,100x100", "gamma=0.9:1"],
        MamlConfig(),
    )  # fmt: skip
    assert space["adam.lr"] == Range(1e-4, 1e-2, log=True)
    assert space["inner.first_order"] == Choices((True, False))
    assert space["inner.later_lr"] == Choices((None, 0.05))
    assert space["inner.steps"] == Range(1, 4, whole=True)
    assert space["policy.activation"].texts == ("tanh", "relu")
    assert space["policy.hidden_sizes"] == Choices(((64,), (100, 100)))
    # Each prints as what it is read from.
    again = parse_space([f"{name}={entry}" for name, entry in space.items()], MamlConfig())
    assert again == space


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("inner.lr", "--search inner.lr; expected OPTION=LOW:HIGH"),
        ("adm.lr=1:2", "--search adm.lr: unknown option; did you mean 'adam.lr'"),
        ("adam.lr=1:x", "--search adam.lr = 1:x; expected LOW:HIGH"),
        ("adam.lr=1:2:3", "--search adam.lr = 1:2:3; expected LOW:HIGH"),
        ("adam.lr=2:1", "expected LOW below HIGH"),
        ("adam.lr=log:0:1", "expected LOW above 0 on a logarithmic scale"),
        ("adam.lr=-1:1", "--search adam.lr: -1.0; expected a number above 0"),
        ("gamma=0.5,1.5", "--search gamma: 1.5; expected a number from 0 to 1"),
        ("inner.steps=1.5:3", "with whole numbers"),
        ("inner.lr=0.1,0.10", "expected each value once"),
        ("inner.lr=fast,0.1", "inner.lr = 'fast'; expected a number"),
        ("policy.activation=tanh,relo", "'relo'; expected one of 'tanh', 'relu'"),
        ("seed=1,2", "--search seed: the same for all trials"),
        ("validation_tasks=1:9", "--search validation_tasks: the same for all trials"),
    ],
)
def test_errors_name_the_option_and_what_was_expected(entry, message):
    with pytest.raises(ConfigError) as caught:
        parse_space([entry], MamlConfig())
    assert message in str(caught.value)


def test_an_option_is_searched_once_and_only_where_it_has_an_effect():
    with pytest.raises(ConfigError, match=r"inner\.lr is given twice"):
        parse_space(["inner.lr=1,2", "inner.lr=3,4"], MamlConfig())
    with pytest.raises(ConfigError, match=r"inner\.lr: has no effect on this method"):
        parse_space(["inner.lr=1,2"], ALGORITHMS["rl2"].config())


def test_a_file_has_tables_dots_texts_and_lists(tmp_path):
    path = tmp_path / "space.toml"
    path.write_text('adam.lr = "log:1e-4:1e-2"\n[inner]\nlr = [0.05, 1]\n[policy]\nhidden_sizes = [[8], [16, 16]]\n')
    space = load_space(path, MamlConfig())
    assert space["adam.lr"] == Range(1e-4, 1e-2, log=True)
    assert space["inner.lr"] == Choices((0.05, 1.0))
    assert space["policy.hidden_sizes"] == Choices(((8,), (16, 16)))
    path.write_text("[inner]\nlr = [0.05, -1]\n")
    with pytest.raises(ConfigError, match=r"space\.toml: inner\.lr: -1\.0; expected a number above 0"):
        load_space(path, MamlConfig())


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_method_has_a_space_around_its_defaults(algorithm):
    base = ALGORITHMS[algorithm].config()
    space = shipped_space(algorithm, base)
    assert values_of(base, space) is not None
    for name, entry in space.items():
        for value in (entry.low, entry.high) if isinstance(entry, Range) else entry.values:
            whole = isinstance(entry, Range) and entry.whole
            changed = with_values(base, {name: int(value) if whole else value})
            validate(changed)
            assert value_of(changed, name) != value_of(base, name) or value == value_of(base, name)


def test_every_shipped_space_belongs_to_a_method():
    assert {name.removesuffix("-plain").removesuffix("-trpo") for name in shipped_spaces()} <= {*ALGORITHMS, "maml"}


def test_the_space_follows_the_optimiser_and_extended_methods():
    assert "trust_region.max_kl" in shipped_space("pretrain", PretrainConfig(outer="trpo"))
    assert "step_size" in shipped_space("reptile", ReptileConfig(outer="plain"))
    assert "adam.lr" in shipped_space("tests.tuning.test_space:Own", MamlConfig())


class Own(MamlConfig):
    """A method of one's own, as far as its options go."""


def initial_state(theta, config):
    raise NotImplementedError


meta_step = initial_state


def test_what_is_given_leaves_the_shipped_space_and_cannot_be_searched():
    base = MamlConfig()
    assert list(space_to_search("maml", base, (), None, {"inner.lr"})) == ["adam.lr"]
    assert list(space_to_search("maml", base, ("inner.lr=1,2",), None)) == ["inner.lr"]
    with pytest.raises(ConfigError, match=r"--inner\.lr = 0\.1; expected none: it is searched"):
        space_to_search("maml", base, ("inner.lr=1,2",), None, {"inner.lr"})


def test_a_value_at_the_edge_of_its_range():
    assert Range(1e-4, 1e-2, log=True).edge_of(1.1e-4) == "low"
    assert Range(1e-4, 1e-2, log=True).edge_of(1e-3) is None
    assert Range(0.0, 1.0).edge_of(0.97) == "high"
    assert [Range(1, 30, whole=True).edge_of(value) for value in (1, 2, 30)] == ["low", None, "high"]
    assert [Choices((0.1, 0.3, 0.2)).edge_of(value) for value in (0.1, 0.2, 0.3)] == ["low", None, "high"]
    assert Choices((1, 2)).edge_of(1) is None
    assert Choices(("tanh", "relu", "x")).edge_of("x") is None

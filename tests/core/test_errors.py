import pytest

from metarl.core import errors
from metarl.core.errors import (
    ConfigError,
    Divergence,
    EnvironmentFault,
    MetarlError,
    WorkerFault,
    in_python_words,
    nearest,
)


def test_every_error_is_one_that_the_command_line_prints_in_one_line():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len(kinds) == 8
    assert all(issubclass(kind, MetarlError) for kind in kinds)
    # New workers may do better than one that failed, so a rollout distinguishes the two.
    assert issubclass(WorkerFault, EnvironmentFault)


def test_a_divergence_says_which_task_where_it_is_known():
    assert Divergence("a parameter is not finite").task is None
    assert Divergence("a parameter is not finite", task=3).task == 3
    assert str(Divergence("a parameter is not finite", task=3)) == "a parameter is not finite"


@pytest.mark.parametrize(
    ("name", "valid", "suggestion"),
    [
        ("mamel", ["maml", "reptile"], " (valid: maml, reptile); did you mean 'maml'?"),
        ("xyz", ["maml", "reptile"], " (valid: maml, reptile)"),
        ("maml9", [f"maml{i}" for i in range(9)] + ["a", "b", "c", "d"], "; did you mean 'maml8'?"),
        ("maml", [], ""),
        ("lander", ["ant-dir", "cheetah-dir"], " (valid: ant-dir, cheetah-dir)"),
    ],
)
def test_the_nearest_name_is_suggested_and_few_are_listed(name, valid, suggestion):
    assert nearest(name, valid) == suggestion


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("--inner.first-order = 3; expected true", "inner.first_order = 3; expected true"),
        ("add --extend-schedule to go on", "add extend_schedule to go on"),
        ("/tmp/a--b: 'x--y' -- no option", "/tmp/a--b: 'x--y' -- no option"),
    ],
)
def test_errors_in_python_name_arguments_as_python_does(message, expected):
    with pytest.raises(ConfigError) as caught, in_python_words():
        raise ConfigError(message)
    assert str(caught.value) == expected

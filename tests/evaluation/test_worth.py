"""Headroom where it is known: all of the return, none of it, and a family's exact optimum."""

import json

import numpy as np
import pytest
from gymnasium import spaces

import metarl
from metarl.config.evaluation import Worth
from metarl.core.errors import ConfigError, FamilyError
from metarl.evaluation.verdict import AVERAGE, ORACLE, REFERENCE, SCRATCH, UNTRAINED
from metarl.evaluation.worth import measure_worth
from metarl.families.analytic import AnalyticFamily
from metarl.families.declared import declare_family
from metarl.families.splits import UniformSplits
from tests.helpers.cli import metarl as command_line
from tests.helpers.families import Troubled

MANY_TASKS = Worth(iterations=30, tasks=20, episodes=8, seeds=(1,))
MANY_SEEDS = Worth(iterations=30, tasks=8, episodes=8, seeds=(1, 2, 3))


class Aim(AnalyticFamily):
    """Reward is highest for the action `at`, which only the task tells; `colour` has no effect."""

    name = "aim"
    horizon = 3
    observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = spaces.Box(-2, 2, (1,), np.float32)
    task_space = spaces.Dict({"colour": spaces.Box(-1, 1, (1,), np.float32), "at": spaces.Box(-1, 1, (1,), np.float32)})
    splits = UniformSplits(task_space)

    def initial(self, task, noise):
        state = noise.new_zeros((*noise.shape[:-1], 1))
        return state, state

    def step(self, task, state, action, noise):
        return state, state, -(action[..., 0] - self.best(task)).square(), state[..., 0] > 1

    def best(self, task):
        return task["at"][..., 0]


class Still(Aim):
    """The best action is the same in all tasks."""

    name = "still"

    def best(self, task):
        return 0.5


class Silent(Aim):
    """No action has an effect."""

    name = "silent"

    def step(self, task, state, action, noise):
        return state, state, 0.0 * action[..., 0], state[..., 0] > 1


@pytest.fixture(scope="module")
def aim():
    return measure_worth(Aim(), MANY_TASKS)


@pytest.fixture(scope="module")
def still():
    return measure_worth(Still(), MANY_SEEDS)


def test_where_the_task_decides_the_headroom_is_the_variance_of_what_it_decides(aim):
    """The best action for no known task is the mean, 0: each of 3 steps costs the variance of `at`, 1/3 on average."""
    headroom = aim["headroom"]
    assert headroom["low"] > 0
    assert headroom["low"] < 1.0 < headroom["high"]
    assert headroom["of"] == ORACLE
    assert aim["verdict"].startswith("adaptation can gain at most ")
    assert aim["verdict"].endswith("; what matters: at.")


def test_the_parameter_that_decides_is_first_and_the_other_within_zero(aim):
    first, second = aim["parameters"]
    assert (first["name"], second["name"]) == ("at", "colour")
    assert first["low"] > 0
    # Two tasks drawn uniformly from [-1, 1] differ by 2/3 in the mean square, in each of 3 steps.
    assert first["low"] < 2.0 < first["high"]
    assert abs(second["mean"]) < 0.1 * first["mean"]


def test_where_the_task_has_no_effect_there_is_no_headroom(still):
    headroom = still["headroom"]
    assert headroom["low"] <= 0 <= headroom["high"]
    assert still["verdict"].startswith("adaptation has nothing to gain that shows: the oracle less the best average")
    gained = still["methods"][ORACLE]["return"]["mean"] - still["methods"][UNTRAINED]["return"]["mean"]
    for entry in still["parameters"]:
        assert abs(entry["mean"]) < 0.02 * gained


def test_all_methods_have_the_same_number_of_steps_and_the_result_is_of_json(aim):
    assert aim["environment_steps"] == 30 * 20 * 8 * 3
    assert aim["environment_steps_of_a_task"] == 30 * 8 * 3
    assert {method: np.shape(entry["per_task"]) for method, entry in aim["methods"].items()} == dict.fromkeys(
        (ORACLE, AVERAGE, SCRATCH, UNTRAINED), (1, 20)
    )
    assert {len(curve) for curve in aim["training_returns"].values()} == {30}
    assert json.loads(json.dumps(aim, allow_nan=False)) == aim


def test_scratch_learns_each_task_alone(aim):
    per_task = {method: np.mean(aim["methods"][method]["per_task"], 0) for method in (SCRATCH, UNTRAINED)}
    assert (per_task[SCRATCH] > per_task[UNTRAINED]).all()


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others():
    small = Worth(iterations=2, tasks=3, episodes=2, seeds=(1,))
    first, second = (measure_worth(Aim(), small) for _ in range(2))
    other = measure_worth(Aim(), Worth(iterations=2, tasks=3, episodes=2, seeds=(2,)))
    for result in (first, second, other):
        del result["wall_seconds"]
    assert first == second
    assert first["methods"] != other["methods"]


def test_seeds_do_not_depend_on_each_other():
    alone, together = (measure_worth(Aim(), Worth(iterations=2, tasks=3, episodes=2, seeds=s)) for s in ((2,), (2, 5)))
    for method, entry in alone["methods"].items():
        assert entry["per_task"][0] == pytest.approx(together["methods"][method]["per_task"][0], rel=1e-4), method


def test_minutes_end_all_methods_at_the_same_iteration():
    result = measure_worth(Aim(), Worth(iterations=500, minutes=0.001, tasks=2, episodes=2, seeds=(1,)))
    assert 1 <= result["iterations"] < 500
    assert {len(curve) for curve in result["training_returns"].values()} == {result["iterations"]}
    assert result["environment_steps"] == result["iterations"] * 2 * 2 * 3


def test_an_exact_optimum_replaces_the_trained_oracle():
    result = measure_worth("bernoulli-bandit", Worth(iterations=2, tasks=4, episodes=5, seeds=(1, 2)))
    known, average = (np.array(result["methods"][method]["per_task"]) for method in (REFERENCE, AVERAGE))
    assert result["headroom"]["of"] == REFERENCE
    assert result["headroom"]["mean"] == pytest.approx((known - average).mean())
    assert (known[0] == known[1]).all()
    assert "exact" in result["methods"][REFERENCE]["summary"]


def test_a_declared_environment_goes_through_gymnasium():
    family = declare_family(Troubled, spaces.Dict({"trouble": spaces.Discrete(1)}), horizon=3, name="quiet")
    result = metarl.worth(family, iterations=1, tasks=3, episodes=2, seeds=[1])
    assert result["family"] == "<quiet>"
    assert result["environment_steps"] == 1 * 3 * 2 * 3
    # One task in all: there is nothing else that the oracle could be told.
    assert result["parameters"][0]["mean"] == 0.0
    assert result["parameters"][0]["interval"].startswith("none: ")


def test_the_command_prints_the_verdict_in_one_line_and_writes_the_result(tmp_path):
    code, out, err = command_line(
        "worth bernoulli-bandit --iterations 2 --tasks 3 --episodes 2 --seeds 1 2 --json {out}", out=tmp_path / "w.json"
    )
    assert (code, err) == (0, "")
    result = json.loads((tmp_path / "w.json").read_text())
    assert result["verdict"] in out.splitlines()
    for name in ("headroom", "oracle", "average", "scratch", "untrained", "probabilities"):
        assert name in out
    assert "iteration 2/2: return in training: oracle " in out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("navigatoin2d", "unknown family 'navigatoin2d'; did you mean 'navigation2d'?"),
        ("navigation2d --split test", "unknown split 'test' (valid: meta-test, "),
        ("navigation2d --tasks 1", "--tasks = 1; expected a whole number of at least 2"),
        ("navigation2d --iterations 0", "--iterations = 0; expected a whole number of at least 1"),
        ("navigation2d --minutes 0", "--minutes = 0; expected a number above 0"),
        ("navigation2d --lr nan", "--lr = nan; expected a number above 0"),
        ("navigation2d --seeds 1 1", "--seeds = 1 1; expected at least one seed, each once and none negative"),
        ("navigation2d --iteration 3", "unknown option --iteration"),
    ],
)
def test_a_wrong_option_is_one_line(line, message):
    code, out, err = command_line(f"worth {line}")
    assert (code, out) == (2, "")
    assert err.startswith(f"metarl: error: {message}")
    assert len(err.splitlines()) == 1


def test_from_python_errors_name_arguments():
    with pytest.raises(ConfigError, match=r"^iterations = 0; expected"):
        metarl.worth("navigation2d", iterations=0)
    with pytest.raises(ConfigError, match="did you mean 'iterations'"):
        metarl.worth("navigation2d", iteratons=3)
    with pytest.raises(FamilyError, match="unknown variant"):
        metarl.worth("navigation2d", variant="narrow")


def test_where_no_action_has_an_effect_nothing_is_said():
    silent = measure_worth(Silent(), Worth(iterations=2, tasks=3, episodes=2, seeds=(1, 2)))
    assert silent["verdict"].startswith("nothing can be said: training raised no return")


@pytest.mark.slow
def test_navigation_has_much_to_gain():
    """The average policy stays near the origin, at -38; the oracle goes to the goal (docs/comparison.md)."""
    result = metarl.worth("navigation2d", iterations=40, seeds=[1])
    assert result["headroom"]["low"] > 20
    assert result["parameters"][0]["low"] > 20

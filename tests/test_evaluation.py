import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

import metarl
from metarl.adaptation.curve import adaptation_curve
from metarl.adaptation.gradient import GradientDescent
from metarl.adaptation.problem import Collected
from metarl.config.run import InnerConfig
from metarl.core.errors import ConfigError, Divergence, FamilyError, RunError
from metarl.core.prng import Key
from metarl.evaluation.statistics import interquartile_mean, summarise, worse_after_adaptation
from metarl.families.tasks import write_tasks
from metarl.rl.setup import build_problem
from metarl.training.start import train


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    from metarl.config.algorithms import MamlTrpoConfig
    from metarl.config.run import PolicyConfig

    config = MamlTrpoConfig(
        variant="finn17", iterations=2, meta_batch_size=3, episodes=3, checkpoint_every=1, validation_tasks=2,
        inner=InnerConfig(lr=0.3), policy=PolicyConfig(hidden_sizes=(8,)),
    )  # fmt: skip
    place = tmp_path_factory.mktemp("runs") / "run"
    train("maml-trpo", config, place)
    return place


def test_interquartile_mean_by_hand():
    assert interquartile_mean(np.array([100.0, 1, 2, 3, 4, 5, 6, -100])) == pytest.approx(3.5)
    assert interquartile_mean(np.array([[0.0, 1], [2, 3], [4, 5], [60, 70]])).tolist() == [3, 4]


def test_summary_by_hand():
    per_task = np.array([[1.0, 10], [2, 10], [3, 10], [6, 10]])
    found = summarise(per_task)
    assert found["mean"] == [3, 10]
    assert found["iqm"] == [2.5, 10]
    assert found["standard_error"] == pytest.approx([stats.sem(per_task[:, 0]), 0])
    assert found["ci95_low"][0] < 2.5 < found["ci95_high"][0]
    assert (found["ci95_low"][1], found["ci95_high"][1]) == (10, 10)


def test_interval_covers_as_it_should():
    """The 95 % interval of the interquartile mean holds the true one in most of 200 samples of 40 tasks."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        found = summarise(rng.normal(3, 1, (40, 1)), resamples=300)
        covered += found["ci95_low"][0] <= 3 <= found["ci95_high"][0]
    assert 178 <= covered <= 199


def test_values_that_are_not_finite_are_null():
    found = summarise(np.array([[1.0, math.nan], [2.0, 1.0]]))
    assert found["mean"] == [1.5, None]
    assert found["ci95_low"] == [None, None]
    single = summarise(np.array([[1.0, 2.0]]))
    assert single["mean"] == [1, 2]
    assert single["standard_error"] == [None, None]
    assert json.dumps(single)
    assert worse_after_adaptation(np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])) == 1


class Quadratics:
    """A supervised problem: x^2 / 2 around each task's own centre. Shows that a curve needs nothing of RL."""

    def collect(self, params, tasks, key, memory=None):
        centre = torch.as_tensor(tasks["centre"])
        score = -self.inner_loss(params, centre)
        return Collected(centre, score, torch.full((len(centre),), 5), score)

    def inner_loss(self, params, data):
        return 0.5 * (params["x"] - data) ** 2

    outer_loss = inner_loss


def test_curve_of_a_problem_in_closed_form():
    """Gradient descent at rate r shrinks the distance by 1 - r a step; 120 tasks make three blocks."""
    centre = np.linspace(-3, 3, 120)
    curve = adaptation_curve(
        Quadratics(),
        {"x": torch.tensor(0.0, dtype=torch.float64)},
        {"centre": centre},
        Key(0),
        GradientDescent(0.5, 0.25),
        3,
    )
    for step, factor in enumerate([1, 0.5, 0.375, 0.28125]):
        np.testing.assert_allclose(curve.per_task[:, step], -0.5 * (centre * factor) ** 2)
    assert curve.transitions == [0, 5, 10, 15]


def test_a_task_that_diverges_has_no_value_from_there_on(run):
    """A rate that overflows the parameters: step 0 is measured, the rest is null, and nothing is raised."""
    result = metarl.evaluate(run, tasks=3, episodes=2, steps=2, inner_lr=1e39)
    assert all(row[0] is not None for row in result["per_task"])
    assert all(row[1:] == [None, None] for row in result["per_task"])
    assert result["return"]["mean"][2] is None


class Explosive(Quadratics):
    """Task 1 diverges when it has moved."""

    def collect(self, params, tasks, key, memory=None):
        if abs(float(params["x"][1])) > 0:
            raise Divergence("task 1", task=1)
        return super().collect(params, tasks, key)


def test_only_the_task_that_diverged_is_lost():
    centre = np.array([1.0, 2.0, 3.0])
    theta = {"x": torch.tensor(0.0, dtype=torch.float64)}
    curve = adaptation_curve(Explosive(), theta, {"centre": centre}, Key(0), GradientDescent(0.5), 1)
    np.testing.assert_allclose(curve.per_task[:, 1], [-0.125, np.nan, -1.125])


def test_result_holds_what_scripts_rely_on(run):
    result = metarl.evaluate(run, tasks=5, episodes=4, steps=2)
    keys = "family variant split seed tasks episodes_per_step environment_steps return per_task worse_after_adaptation"
    assert set(keys.split()) <= result.keys()
    assert result["environment_steps"] == [0, 400, 800]
    assert len(result["per_task"]) == 5
    assert all(len(row) == 3 for row in result["per_task"])
    assert set(result["return"]) == {"mean", "standard_error", "iqm", "ci95_low", "ci95_high"}
    np.testing.assert_allclose(np.mean(result["per_task"], 0), result["return"]["mean"])
    assert result["splits"] == "disjoint"
    assert {"horizon", "actions", "end", "inner_lr", "later_inner_lr"} <= result["protocol"].keys()
    assert result == metarl.evaluate(run, tasks=5, episodes=4, steps=2)


def test_tasks_depend_on_split_and_seed_alone(run, tmp_path):
    """The first episodes' returns of the same tasks are the same whatever the learning rate, and others otherwise."""
    first = metarl.evaluate(run, tasks=4, episodes=2, steps=1)
    other_rate = metarl.evaluate(run, tasks=4, episodes=2, steps=1, inner_lr=0.01)
    assert [row[0] for row in first["per_task"]] == [row[0] for row in other_rate["per_task"]]
    assert [row[1] for row in first["per_task"]] != [row[1] for row in other_rate["per_task"]]
    for change in ({"seed": 2}, {"split": "meta-validation"}, {"split": "out-of-distribution"}):
        assert metarl.evaluate(run, tasks=4, episodes=2, steps=1, **change)["per_task"] != first["per_task"]
    family = metarl.load_family("navigation2d")
    write_tasks(tmp_path / "tasks.json", family.task_space, {"goal": np.array([[0.1, 0.2], [0.3, 0.4]])})
    assert metarl.evaluate(run, split=str(tmp_path / "tasks.json"), episodes=2, steps=0)["tasks"] == 2


def test_budget_in_samples(run):
    result = metarl.evaluate(run, tasks=3, samples_per_step=250, steps=2)
    assert result["environment_steps"] == [0, 250, 500]
    assert result["transitions"][2] >= 500


def test_random_initialisation_and_other_checkpoints(run):
    trained = metarl.evaluate(run, tasks=3, episodes=2, steps=0)
    untrained = metarl.evaluate(run, tasks=3, episodes=2, steps=0, initialisation="random")
    first = metarl.evaluate(run, tasks=3, episodes=2, steps=0, checkpoint="1")
    best = metarl.evaluate(run, tasks=3, episodes=2, steps=0, checkpoint="best")
    assert len({json.dumps(r["per_task"]) for r in (trained, untrained, first)}) == 3
    assert best["iteration"] in (1, 2)
    assert untrained["iteration"] is None
    assert first["iteration"] == 1


def test_another_variant_of_the_family(run):
    result = metarl.evaluate(run, variant="wide", tasks=3, episodes=2, steps=1)
    assert (result["variant"], result["protocol"]["end"]) == (
        "wide",
        "within 0.01 of the origin in both coordinates",
    )


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"tasks": 0}, ConfigError, "--tasks = 0"),
        ({"steps": -1}, ConfigError, "--steps = -1"),
        ({"inner_lr": 0.0}, ConfigError, "--inner-lr = 0.0"),
        ({"split": "meta-tst"}, FamilyError, "did you mean 'meta-test'"),
        ({"split": "nothing.json"}, FamilyError, "nothing.json"),
        ({"checkpoint": "5"}, RunError, "no checkpoint '5'"),
        ({"initialisation": "cold"}, ConfigError, "expected trained or random"),
    ],
)
def test_what_cannot_be_evaluated_is_said(run, options, error, message):
    with pytest.raises(error, match=message):
        metarl.evaluate(run, **options)


def test_a_task_evaluated_among_others_is_that_task_alone(run, family, policy, theta, tiny_config):
    """In float64, the first of many tasks has the curve that it has on its own."""
    config = replace(tiny_config, dtype="float64")
    tasks = family.sample_tasks(6, "meta-test", np.random.default_rng(0))
    curves = []
    for part in (tasks, {"goal": tasks["goal"][:1]}):
        problem = build_problem(config, family, policy)
        curves.append(adaptation_curve(problem, theta, part, Key(1), GradientDescent(0.3), 2).per_task)
    np.testing.assert_allclose(curves[0][:1], curves[1], rtol=1e-9)

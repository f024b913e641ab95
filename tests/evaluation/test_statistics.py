"""Statistics against hand-computed examples, published definitions and simulated coverage."""

import json
import math
from itertools import product

import numpy as np
import pytest
from scipy import stats

from metarl.core.errors import RunError
from metarl.core.numbers import write_json
from metarl.evaluation.statistics import (
    OVER_BOTH,
    OVER_SEEDS,
    OVER_TASKS,
    distinct_tasks,
    drawn_variance,
    interquartile_mean,
    linearised,
    mean,
    new_task_interval,
    pooled,
    probability_of_improvement,
    seed_interval,
    summarise,
    task_interval,
    worse_after_adaptation,
)
from metarl.evaluation.tables import print_comparison
from metarl.families.tasks import task_ids

TABLE = np.array([[1.0, 2, 6], [3, 4, 11]])[..., None]
"""Two seeds, three tasks: seed means 3 and 6, task means 2, 3 and 8.5."""


# Averages


@pytest.mark.parametrize("n", range(1, 25))
def test_interquartile_mean_cuts_a_quarter_at_either_end(n):
    values = np.random.default_rng(n).normal(size=(n, 3))
    np.testing.assert_allclose(interquartile_mean(values), stats.trim_mean(values, 0.25), rtol=1e-12)
    np.testing.assert_allclose(interquartile_mean(values.T, 1), interquartile_mean(values))
    if n < 4:
        np.testing.assert_allclose(interquartile_mean(values), values.mean(0))


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", range(8))
def test_an_average_with_a_value_that_is_not_finite_is_not_finite(odd, place):
    """Also where that value would be cut off."""
    values = np.array([-1.0, -2, -3, -4, -5, -6, -7, -8])
    values[place] = odd
    for average in (interquartile_mean, mean):
        assert np.isnan(average(values))
        assert np.isnan(average(np.stack([values, np.ones(8)], 1))).tolist() == [True, False]


def test_occurrences_of_a_task_are_averaged_first():
    scores = np.arange(8.0).reshape(2, 4, 1)
    assert distinct_tasks(scores, [7, 3, 7, 7])[..., 0].tolist() == [[1, 5 / 3], [5, 17 / 3]]
    assert distinct_tasks(scores, None).tolist() == distinct_tasks(scores, [4, 3, 2, 1]).tolist() == scores.tolist()
    with pytest.raises(ValueError, match=r"task_ids has shape \(3,\); expected \(4,\)"):
        distinct_tasks(scores, [1, 2, 3])


def test_equal_tasks_have_equal_numbers():
    tasks = {"direction": np.array([1, -1, 1, 1]), "at": np.array([[0.0, 1], [0, 1], [0, 1], [0, 2]], np.float32)}
    assert task_ids(tasks) == [0, 1, 0, 2]


# Intervals by hand


def test_variance_components_by_hand():
    """MS of seeds 3 (1.5^2 + 1.5^2) / 1, of tasks 2 (2.5^2 + 1.5^2 + 4^2) / 2, of the residuals 2 (0.5 + 1) / 2."""
    seeds, tasks, error = 13.5, 24.5, 1.5
    found = drawn_variance(TABLE, (0, 1))
    assert found.variance == pytest.approx([(seeds + tasks - error) / 6])
    freedom = 36.5**2 / (seeds**2 / 1 + tasks**2 / 2 + error**2 / 2)
    assert found.degrees == pytest.approx([freedom])
    assert freedom == pytest.approx(2.7554, abs=1e-4)
    # Over seeds alone 4.5 +- 12.706 sqrt(4.5 / 2), which is wider than 4.5 +- 3.35 sqrt(36.5 / 6) and than over tasks.
    over_seeds, new = seed_interval(TABLE.mean(1)), new_task_interval(TABLE, "mean")
    assert over_seeds.low == pytest.approx([4.5 - 12.7062 * 1.5], rel=1e-4)
    assert over_seeds.high == pytest.approx([4.5 + 12.7062 * 1.5], rel=1e-4)
    assert new.low == pytest.approx(over_seeds.low)
    assert new.high == pytest.approx(over_seeds.high)
    turned = new_task_interval(TABLE.transpose(1, 0, 2), "mean")  # seeds for tasks: over tasks alone is the widest
    assert turned.high == pytest.approx(new.high)
    over_tasks = task_interval(TABLE, "mean")
    assert over_tasks.high == pytest.approx([4.5 + 4.302653 * math.sqrt(24.5 / 6)], rel=1e-5)


def test_components_bind_where_both_seeds_and_tasks_vary():
    rng = np.random.default_rng(0)
    scores = (rng.normal(0, 1, (12, 1)) + rng.normal(0, 1.2, (1, 15)) + rng.normal(0, 0.5, (12, 15)))[..., None]
    variance, degrees = drawn_variance(scores, (0, 1))
    half = stats.t.ppf(0.975, degrees) * np.sqrt(variance)
    found = new_task_interval(scores, "mean")
    assert found.low == pytest.approx(scores.mean() - half)
    assert found.high == pytest.approx(scores.mean() + half)
    assert half > seed_interval(scores.mean(1)).high - scores.mean()
    assert half > task_interval(scores, "mean").high - scores.mean()


def test_a_negative_component_counts_as_none():
    """Residuals without a task effect: MS 24 of seeds, 0 of tasks, 2 of the residuals."""
    scores = np.array([[1.0, -1, 0], [-1, 1, 0]])[..., None] + np.array([2.0, -2])[:, None, None]
    found = drawn_variance(scores, (0, 1))
    assert found.variance == pytest.approx([24 / 6])
    assert drawn_variance(np.ones((3, 4, 1)), (0, 1)).variance == [0]
    assert new_task_interval(np.ones((3, 4, 1))).low == new_task_interval(np.ones((3, 4, 1))).high == [1]


def test_three_crossed_axes_are_the_sum_over_sets_of_axes():
    """Additive effects have no interactions, so that each axis adds its own variance of the mean."""
    rng = np.random.default_rng(0)
    effects = [rng.normal(size=n) for n in (3, 4, 5)]
    values = effects[0][:, None, None] + effects[1][:, None] + effects[2]
    expected = sum(effect.var(ddof=1) / len(effect) for effect in effects)
    assert drawn_variance(values, (0, 1, 2)).variance == pytest.approx(expected)


def test_influence_is_the_bootstrap_covariance_with_each_tasks_count():
    scores = np.random.default_rng(1).exponential(size=(1, 9, 1))
    values = linearised(scores, "iqm")[0, :, 0]
    assert values.mean() == pytest.approx(interquartile_mean(scores[0])[0])
    rng = np.random.default_rng(2)
    drawn = rng.integers(9, size=(400_000, 9))
    averages = interquartile_mean(scores[0, drawn, 0], 1)
    counts = (drawn[..., None] == np.arange(9)).sum(1)
    covariance = 9 * ((counts - 1) * (averages - averages.mean())[:, None]).mean(0)
    scale = math.sqrt(5 * 8 / (9 * 4))  # 5 of 9 values are averaged
    np.testing.assert_allclose((values - values.mean()) / scale, covariance, atol=0.03)
    assert linearised(scores, "mean") is scores


# Coverage


def simulated(rng, seeds, tasks, sds, tables, task_effects=None):
    """Scores (seeds, tasks, tables), and the task effects (tasks, tables); sds of seeds, tasks and residuals."""
    of_seeds, of_tasks, residual = sds
    draw = task_effects or (lambda shape: rng.normal(size=shape))
    effects = of_tasks * draw((tasks, tables))
    return (
        of_seeds * rng.normal(size=(seeds, 1, tables)) + effects + residual * rng.normal(size=(seeds, tasks, tables))
    ), effects


def covered(interval, truth):
    return float(np.mean((interval.low <= truth) & (truth <= interval.high)))


@pytest.mark.parametrize("sds", [(1.0, 0.0, 4.0), (1.0, 4.0, 4.0), (2.0, 8.0, 1.0)], ids=str)
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_intervals_cover_as_they_should(seeds, sds):
    """4,000 tables of 40 tasks: these tasks, whose true mean is that of their effects, and new ones, whose is zero."""
    scores, effects = simulated(np.random.default_rng(seeds), seeds, 40, sds, 4000)
    assert 0.93 <= covered(seed_interval(mean(scores, 1)), effects.mean(0)) <= 0.97
    for average in ("mean", "iqm"):
        assert 0.90 <= covered(new_task_interval(scores, average), 0.0) <= 0.98


@pytest.mark.slow
@pytest.mark.parametrize("tasks", [3, 5, 10, 20, 50])
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_intervals_for_new_tasks_cover_in_tables_of_every_shape(seeds, tasks):
    """At least 92.5 % everywhere. At most 98 % from 20 tasks on, unless residuals hide what seeds add."""
    rng = np.random.default_rng(seeds * tasks)
    balanced = math.sqrt(tasks / seeds)
    for sds in product([0.3, 1.0], [0.0, 0.5 * balanced, balanced, 4.0], [0.1, 4.0]):
        scores, effects = simulated(rng, seeds, tasks, sds, 4000)
        assert 0.93 <= covered(seed_interval(mean(scores, 1)), effects.mean(0)) <= 0.97
        for average in ("mean", "iqm"):
            found = covered(new_task_interval(scores, average), 0.0)
            hidden = sds[0] * math.sqrt(tasks) < 2 * sds[2]
            assert 0.925 <= found <= (0.98 if tasks >= 20 and not hidden else 1.0), (sds, average)


@pytest.mark.slow
def test_interval_for_these_tasks_covers_the_interquartile_mean_too():
    """The truth is the average of 1,000 further seeds on the same tasks."""
    rng = np.random.default_rng(0)
    tables, found = 1000, []
    effects = 4 * rng.normal(size=(40, tables))

    def draw():
        """A new seed on the same tasks."""
        return rng.normal(size=(1, 1, tables)) + effects + 2 * rng.normal(size=(1, 40, tables))

    truth = np.mean([interquartile_mean(draw(), 1)[0] for _ in range(1000)], 0)
    for seeds in (3, 5, 10):
        scores = np.concatenate([draw() for _ in range(seeds)])
        found.append(covered(seed_interval(interquartile_mean(scores, 1)), truth))
    assert all(0.93 <= coverage <= 0.97 for coverage in found), found


def seeds_drawn_anew_in_each_task(scores, rng, resamples=300):
    """The stratified bootstrap of the mean that the intervals replace: right where each task has its own trainings."""
    seeds, tasks, _ = scores.shape
    estimates = [
        scores[rng.integers(seeds, size=(seeds, tasks)), np.arange(tasks)].mean((0, 1)) for _ in range(resamples)
    ]
    return np.percentile(estimates, [2.5, 97.5], axis=0)


def test_drawing_a_seed_anew_in_each_task_covers_far_too_little():
    """Five seeds and 100 tasks with residuals of deviation 4; with the seeds' deviation 1, 2, 4 in turn."""
    rng = np.random.default_rng(0)
    for of_seeds, most in ((1.0, 0.65), (2.0, 0.4), (4.0, 0.25)):
        scores, _ = simulated(rng, 5, 100, (of_seeds, 0.0, 4.0), 300)
        low, high = seeds_drawn_anew_in_each_task(scores, rng)
        assert np.mean((low <= 0) & (high >= 0)) < most
        assert covered(seed_interval(mean(scores, 1)), 0.0) > 0.9
        assert covered(new_task_interval(scores, "mean"), 0.0) > 0.9


def test_seeds_alone_do_not_cover_new_tasks():
    scores, _ = simulated(np.random.default_rng(0), 10, 20, (1.0, 4.0, 1.0), 4000)
    assert covered(seed_interval(mean(scores, 1)), 0.0) < 0.8
    assert 0.90 <= covered(new_task_interval(scores, "mean"), 0.0) <= 0.98


@pytest.mark.parametrize("tasks", [3, 5, 10, 40])
def test_intervals_over_tasks_cover_as_they_should(tasks):
    scores, _ = simulated(np.random.default_rng(tasks), 1, tasks, (0.0, 0.0, 1.0), 4000)
    assert 0.93 <= covered(task_interval(scores, "mean"), 0.0) <= 0.97
    assert 0.93 <= covered(task_interval(scores, "iqm"), 0.0) <= 0.99


def test_skewed_and_bimodal_tasks_are_covered():
    """Exponential task effects, and a fifth of the tasks failing by five deviations."""
    rng = np.random.default_rng(0)
    shapes = {
        "skewed": lambda shape: rng.exponential(size=shape),
        "failing": lambda shape: rng.normal(size=shape) - 5 * (rng.random(shape) < 0.2),
    }
    for draw in shapes.values():
        population = np.sort(draw(2_000_000) + rng.normal(size=2_000_000))
        truth = {"mean": population.mean(), "iqm": population[500_000:1_500_000].mean()}
        scores, _ = simulated(rng, 5, 40, (0.3, 1.0, 1.0), 4000, draw)
        for average, expected in truth.items():
            assert 0.90 <= covered(new_task_interval(scores, average), expected) <= 0.98


# Probability of improvement


def test_probability_of_improvement_by_enumeration():
    ours = np.array([[3.0, 0.0], [5.0, 0.0]])
    theirs = np.array([[1.0, 0.0], [4.0, 1.0]])
    # First task: 3 of 4 pairs won. Second: two ties and two losses.
    found, other = probability_of_improvement(ours, theirs), probability_of_improvement(theirs, ours)
    assert found["p"] == (0.75 + 0.25) / 2
    assert other["p"] == 1 - found["p"]
    rng = np.random.default_rng(0)
    ours, theirs = rng.integers(5, size=(4, 6)).astype(float), rng.integers(5, size=(3, 6)).astype(float)
    pairs = [(a > b) + (a == b) / 2 for t in range(6) for a in ours[:, t] for b in theirs[:, t]]
    found, other = probability_of_improvement(ours, theirs), probability_of_improvement(theirs, ours)
    assert found["p"] == pytest.approx(np.mean(pairs))
    assert 0 < found["low"] < found["p"] < found["high"] < 1
    assert (other["low"], other["high"]) == pytest.approx((1 - found["high"], 1 - found["low"]))
    assert found["interval"] == OVER_BOTH


def test_a_diverged_task_is_worst_and_never_makes_the_probability_nan():
    ours = np.array([[np.nan, 1.0, np.nan, np.inf], [2.0, 1.0, np.nan, 0.0]])
    theirs = np.array([[1.0, 0.0, np.nan, 0.0], [1.0, np.nan, 0.0, 0.0]])
    # Task 1: two of four pairs. 2: all. 3: two ties, two losses. 4: infinite counts as diverged, then two ties.
    expected = (2 / 4 + 1 + 1 / 4 + 1 / 4) / 4
    found = probability_of_improvement(ours, theirs)
    assert found["p"] == pytest.approx(expected)
    assert json.dumps(found, allow_nan=False)
    everywhere = probability_of_improvement(np.full((3, 4), np.nan), np.zeros((3, 4)))
    assert (everywhere["p"], everywhere["low"]) == (0, 0)


def test_winning_every_comparison_proves_as_much_as_the_seeds_can():
    """Three wins of three: the lower end solves p^3 = 0.025."""
    found = probability_of_improvement(np.ones((3, 50)), np.zeros((5, 50)))
    assert (found["p"], found["high"]) == (1, 1)
    assert found["low"] == pytest.approx(0.025 ** (1 / 3))
    tied = probability_of_improvement(np.ones((3, 50)), np.ones((3, 50)))
    assert (tied["p"], tied["low"] + tied["high"]) == (0.5, pytest.approx(1))


def test_what_the_probabilitys_interval_is_over():
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(0.5, 1, (4, 40)), rng.normal(size=(3, 40))
    one = probability_of_improvement(ours[:1], theirs)
    assert one["interval"] == OVER_TASKS
    assert one["low"] < one["p"] < one["high"]
    two = probability_of_improvement(ours, theirs, [0, 1] * 20)
    assert two == probability_of_improvement(*(s.reshape(-1, 20, 2).mean(1) for s in (ours, theirs)))
    assert two["interval"] == OVER_SEEDS
    none = probability_of_improvement(ours[:1], theirs, [0, 1] * 20)
    assert (none["low"], none["high"]) == (None, None)
    assert none["interval"] == "none: one training seed, 2 distinct tasks; at least 3 are needed"


@pytest.mark.parametrize("sds", [(1.0, 1.0), (1.0, 0.1), (0.3, 2.0)], ids=str)
@pytest.mark.parametrize("seeds", [3, 5])
def test_probabilitys_interval_covers(seeds, sds):
    """P = Phi(mu / sqrt(2 (seeds^2 + residual^2))) with task effects that the methods share; 600 tables of 20 tasks."""
    rng = np.random.default_rng(seeds)
    for probability in (0.5, 0.8):
        shift = stats.norm.ppf(probability) * math.sqrt(2 * (sds[0] ** 2 + sds[1] ** 2))
        scores, _ = simulated(rng, 2 * seeds, 20, (sds[0], 2.0, sds[1]), 600)
        found = [probability_of_improvement(shift + scores[:seeds, :, i], scores[seeds:, :, i]) for i in range(600)]
        assert np.mean([each["low"] <= probability <= each["high"] for each in found]) >= 0.92


# Entries of results


def test_entry_of_several_seeds_by_hand():
    found = pooled(TABLE, "mean")
    assert (found["mean"], found["iqm"]) == ([4.5], [4.5])
    assert found["seed_sd"] == [pytest.approx(math.sqrt(4.5))]
    assert found["worst_seed"] == [3]
    assert (found["interval"], found["new_tasks_interval"]) == (OVER_SEEDS, OVER_BOTH)
    assert found["ci95_low"] == [pytest.approx(4.5 - 12.7062 * 1.5, rel=1e-4)]
    assert found["new_tasks_low"][0] <= found["ci95_low"][0]
    # The interquartile mean is that within each seed, then averaged.
    scores = np.array([[0.0, 1, 2, 30], [4.0, 5, 6, -70]])[..., None]
    found = pooled(scores)
    assert (found["iqm"], found["worst_seed"]) == ([(1.5 + 4.5) / 2], [1.5])
    assert found["mean"] == [pytest.approx(scores.mean())]


def test_entry_of_one_seed_is_over_tasks_and_says_so():
    scores = np.random.default_rng(0).normal(size=(1, 12, 2))
    found, alone = pooled(scores), summarise(scores[0])
    assert {name: found[name] for name in alone.keys() - {"standard_error"}} == {
        name: value for name, value in alone.items() if name != "standard_error"
    }
    assert (found["interval"], found["new_tasks_interval"]) == (OVER_TASKS, "none: one training seed")
    for name in ("new_tasks_low", "new_tasks_high", "seed_sd", "worst_seed"):
        assert found[name] == [None, None]


def test_two_tasks_that_fill_forty_places_are_two_tasks():
    rng = np.random.default_rng(0)
    scores, ids = rng.normal(size=(5, 40, 3)), np.tile([0, 1], 20)
    two = scores.reshape(5, 20, 2, 3).mean(1)
    found = pooled(scores, "iqm", ids.tolist())
    expected = pooled(two, "iqm")
    assert {k: v for k, v in found.items() if k.endswith("l")} == {k: v for k, v in expected.items() if k.endswith("l")}
    for name in ("mean", "iqm", "ci95_low", "ci95_high", "seed_sd", "worst_seed"):
        np.testing.assert_allclose(found[name], expected[name])
    assert found["interval"] == OVER_SEEDS
    assert found["new_tasks_interval"] == "none: 2 distinct tasks; at least 3 are needed"
    assert found["new_tasks_low"] == [None] * 3
    alone = summarise(scores[0], "iqm", ids.tolist())
    assert alone["ci95_low"] == [None] * 3
    assert alone["interval"] == "none: 2 distinct tasks; at least 3 are needed"
    assert summarise(scores[0], "iqm")["ci95_low"][0] is not None


def test_a_diverged_task_makes_null_of_its_point_alone():
    scores = np.random.default_rng(0).normal(size=(3, 8, 2))
    scores[1, 4, 1] = math.nan
    found = pooled(scores)
    for name, value in found.items():
        if isinstance(value, list):
            assert value[0] is not None, name
            assert value[1] is None, name
    assert json.dumps(found, allow_nan=False)


def test_intervals_of_rates_end_at_zero_and_one():
    rates = np.array([[1.0, 1, 0.9], [0.8, 1, 1], [0.2, 0.1, 0.4]])[..., None]
    found, free = pooled(rates, "mean", bounds=(0.0, 1.0)), pooled(rates, "mean")
    assert free["ci95_high"][0] > 1 > free["ci95_low"][0] > -1
    assert (found["ci95_high"], found["new_tasks_high"]) == ([1.0], [1.0])
    assert found["ci95_low"] == [max(0.0, free["ci95_low"][0])]
    assert summarise(rates[0], "mean", bounds=(0.0, 1.0))["ci95_high"] == [1.0]


def test_numbers_that_are_not_finite_are_not_written(tmp_path):
    for odd in (math.nan, math.inf):
        with pytest.raises(RunError, match=rf"not written: probability.maml.p = {odd}; expected a finite number"):
            write_json(tmp_path / "r.json", {"probability": {"maml": {"p": odd}}})
        with pytest.raises(RunError, match=r"not written: return\.mean\.1 ="):
            write_json(tmp_path / "r.json", {"return": {"mean": [1.0, odd]}})
    assert not list(tmp_path.iterdir())
    write_json(tmp_path / "r.json", {"p": 0.5, "q": None})
    assert json.loads((tmp_path / "r.json").read_text()) == {"p": 0.5, "q": None}


# From the runs to the table


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Two seeds of one method and one of another on a family of four tasks, which fill ten places."""
    from metarl.config.algorithms import MamlConfig, ReptileConfig
    from metarl.config.run import InnerConfig, PolicyConfig
    from metarl.evaluation.comparison import compare
    from metarl.training.start import train

    place = tmp_path_factory.mktemp("runs")
    shared = {
        "family": "point-corner", "iterations": 1, "meta_batch_size": 2, "episodes": 2, "validation_tasks": 0,
        "policy": PolicyConfig(hidden_sizes=(4,)), "inner": InnerConfig(lr=0.1),
    }  # fmt: skip
    for seed in (1, 2):
        train("maml", MamlConfig(seed=seed, **shared), place / f"maml-{seed}")
    train("reptile", ReptileConfig(**shared), place / "reptile")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("metarl.evaluation.comparison.VALIDATION_TASKS", 1)
        patched.setattr("metarl.evaluation.comparison.VALIDATION_EPISODES", 1)
        patched.setattr("metarl.evaluation.comparison.MOST_RATES", 3)
        runs = sorted(place.iterdir())
        return runs, compare(runs, tasks=10, episodes=2, steps=1)


def test_repeated_tasks_reach_the_comparison(compared):
    import metarl

    runs, result = compared
    alone, second = (metarl.evaluate(run, tasks=10, episodes=2, steps=0) for run in runs[:2])
    ids = alone["task_ids"]
    assert len(ids) == 10
    assert result["distinct_tasks"] == len(set(ids)) <= 4
    rows = np.array(alone["per_task"])
    by_task = [rows[[i for i, own in enumerate(ids) if own == task]].mean() for task in set(ids)]
    assert alone["return"]["mean"] == [pytest.approx(np.mean(by_task))]
    assert alone["return"]["mean"] != [pytest.approx(rows.mean())]
    maml, reptile = result["methods"]
    both = [each["return"]["mean"][0] for each in (alone, second)]
    assert maml["return"]["mean"][0] == pytest.approx(np.mean(both))
    assert maml["return"]["interval"] == OVER_SEEDS
    assert reptile["return"]["interval"] == OVER_TASKS
    assert maml["return"]["seed_sd"][0] > 0
    assert maml["return"]["worst_seed"][0] < maml["return"]["iqm"][0]
    assert result["probability_of_improvement"]["maml"]["reptile"]["interval"] == OVER_TASKS
    assert json.dumps(result, allow_nan=False)


def test_the_table_says_which_question_each_interval_answers(compared, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    _, result = compared
    print_comparison(result)
    printed = " ".join(capsys.readouterr().out.split())
    assert f"10 tasks ({result['distinct_tasks']} distinct), averaged over training seeds" in printed
    assert "[low, high] for maml: 95 % interval over training seeds, for these tasks: what training with" in printed
    assert "[low, high] for reptile: 95 % interval over tasks, one training seed: what this training" in printed
    assert "(low, high) for reptile: no 95 % interval: one training seed" in printed
    maml = result["methods"][0]["return"]
    assert "95 % interval ┃ for new tasks ┃ sd ┃ worst ┃" in printed
    rows = [[cell.strip() for cell in line.split("│")] for line in printed.split("│ 0 │")[1:]]
    expected = [maml[name][0] for name in ("seed_sd", "worst_seed")]
    assert [float(cell) for cell in rows[0][3:5]] == pytest.approx(expected, abs=0.006)
    assert rows[1][2:5] == ["-", "-", "-"]
    assert "P(maml beats reptile after the last step) = " in printed
    assert printed.count("95 % interval over tasks, one training seed)") == 2  # both probabilities


def test_intervals_of_rates_are_bounded_wherever_they_come_from(compared, monkeypatch):
    """Seeds whose success rates are 0.5 and 1 have an interval that ends at 1, and so has any bounded measure."""
    import metarl
    from benchmarks.fewshot.configs import KINDS
    from metarl.config.evaluation import Evaluation
    from metarl.config.registry import REINFORCEMENT_LEARNING
    from metarl.evaluation.comparison import compare
    from metarl.evaluation.evaluate import evaluate_as
    from metarl.runs.directory import read_config

    def configured(run):
        algorithm, config = read_config(run)
        return algorithm, run, config

    def evaluate(run, **options):
        result = metarl.evaluate(run, **options)
        return {**result, "success_per_task": [[0.5 * read_config(run)[1].seed] * 2] * options["tasks"]}

    monkeypatch.setattr("metarl.evaluation.comparison.MOST_RATES", 3)
    runs, _ = compared
    bounded = REINFORCEMENT_LEARNING._replace(bounds=(-1e-6, 1e-6))
    (method,) = compare(
        runs[:2], tasks=4, episodes=2, steps=1, kind=bounded, evaluate=evaluate,
        validation_budget={"tasks": 1, "episodes": 1},
    )["methods"]  # fmt: skip
    for measure, (low, high) in {"success": (0, 1), "return": (-1e-6, 1e-6)}.items():
        for name in ("ci95", "new_tasks"):
            assert low <= method[measure][f"{name}_low"][0] <= method[measure][f"{name}_high"][0] <= high
    alone = evaluate_as(bounded, *configured(runs[0]), Evaluation(tasks=4, steps=0))
    assert -1e-6 <= alone["return"]["ci95_low"][0] <= alone["return"]["ci95_high"][0] <= 1e-6
    assert {name: kind.bounds for name, kind in KINDS.items()} == {
        "sinusoid": None, "omniglot": (0.0, 1.0), "image-folder": (0.0, 1.0),
    }  # fmt: skip


def test_the_published_table_has_both_intervals_and_the_worst_seed(compared):
    from benchmarks.results.compare_methods import markdown

    entry = {**pooled(np.random.default_rng(0).normal(9, 1, (3, 10, 4)), "iqm")}
    method = {"label": "MAML", "return": entry, "inner_lr": 0.1, "training_environment_steps": [1e6]}
    tuning = {"MAML": {"trainings": 18, "seeds": [1000, 1001], "best_at_edge": ["inner"]}}
    result = {"methods": [method], "seconds": {"MAML": [1.0]}, "tuning": tuning}
    lines = markdown(result, {"published": [1.0, 2.0]}).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    cells = [
        f"{entry['iqm'][step]:.1f} ({entry['ci95_low'][step]:.1f} to {entry['ci95_high'][step]:.1f}; "
        f"{entry['new_tasks_low'][step]:.1f} to {entry['new_tasks_high'][step]:.1f}) | "
        f"{entry['worst_seed'][step]:.1f}, {entry['seed_sd'][step]:.1f}"
        for step in (1, 3)
    ]
    assert all(cell in lines[2] for cell in cells)
    assert "| 18 trainings, 2 seeds, inner at edge |" in lines[2]


def test_the_table_of_reptile_sb3_has_both_intervals_and_the_worst_seed():
    from benchmarks.results.reptile_sb3 import markdown

    entry = pooled(np.random.default_rng(0).normal(9, 1, (3, 2, 4)), "iqm")
    method = {
        "label": "reptile-sb3", "return": entry, "inner_lr": 0.1, "training_environment_steps": [1000],
        "adaptation_environment_steps": [0, 100, 200, 300],
    }  # fmt: skip
    lines = markdown({"methods": [method]}).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    low, high = (f"{entry[name][-1]:.1f}" for name in ("ci95_low", "ci95_high"))
    assert f"({low} to {high}; - to -) | {entry['worst_seed'][-1]:.1f} |" in lines[-1]  # two tasks


# Summaries of one training seed


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


def test_interval_of_a_summary_covers_as_it_should():
    """The 95 % interval of the interquartile mean holds the true one in most of 200 samples of 40 tasks."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        found = summarise(rng.normal(3, 1, (40, 1)))
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

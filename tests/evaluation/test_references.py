"""Regret by hand, which bounds are exceeded, and the option on the command line."""

import json
from dataclasses import replace

import numpy as np
import pytest

import metarl
from metarl.config.algorithms import MamlConfig
from metarl.config.evaluation import ReferenceOptions
from metarl.config.run import PolicyConfig
from metarl.core.errors import ConfigError, FamilyError
from metarl.evaluation.references import Learner, beside_references, by_length, family_with_references, regret
from metarl.evaluation.statistics import OVER_SEEDS, OVER_TASKS
from metarl.evaluation.tables import print_references
from metarl.families.tasks import write_tasks
from metarl.references.reference import Reference
from metarl.training.start import train
from metarl_envs.bandit import BernoulliBandit
from tests.helpers.cli import metarl as command_line

T3, T2 = 4.302653, 12.706205
"""The 97.5 % points of Student's t with two degrees of freedom and with one."""


def test_regret_of_one_seed_by_hand():
    """Differences 1, 2 and 6 over the trial: mean 3, standard error sqrt(7 / 3)."""
    reference = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 5.0]])
    learner = np.array([[[1.0, 0.0], [1.0, 1.0], [1.0, 1.0]]])
    found = regret(learner, reference, None)
    assert found["mean"] == pytest.approx(3)
    half = T3 * np.sqrt(7 / 3)
    assert (found["ci95_low"], found["ci95_high"]) == pytest.approx((3 - half, 3 + half), rel=1e-5)
    assert found["interval"] == OVER_TASKS
    assert found["new_tasks_low"] is None


def test_regret_of_two_seeds_is_over_seeds():
    """Means over tasks 3 and 5: the interval is that of two numbers."""
    reference = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 5.0]])
    one = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 1.0]])
    found = regret(np.stack([one, one - 1.0]), reference, None)
    assert found["mean"] == pytest.approx(4)
    assert (found["ci95_low"], found["ci95_high"]) == pytest.approx((4 - T2, 4 + T2), rel=1e-5)
    assert found["interval"] == OVER_SEEDS


def test_a_task_that_occurs_twice_counts_once_and_one_that_diverged_has_no_regret():
    reference = np.array([[4.0], [4.0], [1.0]])
    learner = np.array([[[1.0], [3.0], [0.0]]])
    assert regret(learner, reference, [0, 0, 1])["mean"] == pytest.approx((2 + 1) / 2)
    learner[0, 1] = np.nan
    assert regret(learner, reference, None)["mean"] is None


class Known(BernoulliBandit):
    """A family with references of known returns."""

    def references(self):
        def paying(value):
            return lambda tasks, episodes, trials, rng: np.full((len(tasks["probabilities"]), episodes), value)

        return {
            "told": Reference("told", paying(1.0), exact=True, bound=True, knows_task=True),
            "optimum": Reference("optimum", paying(0.6), exact=True, bound=True),
            "lucky": Reference("lucky", paying(0.65)),
            "short": Reference("short", paying(0.7), exact=True, bound=True, most_episodes=2),
        }


def result(**changes):
    whole = {"split": "meta-test", "seed": 1, "tasks": 4, "environment_steps": [0, 1, 2], "task_ids": [0, 1, 2, 3]}
    return {**whole, **changes}


def beside(curve, each=1, **changes):
    """The entry of a learner with the same curve on four tasks, but for a spread of 0.01 a point."""
    values = np.array(curve) + np.array([-0.015, -0.005, 0.005, 0.015])[:, None]
    return beside_references(Known(), result(**changes), {"mine": Learner(values[None], each)}, 5)


def nothing(points):
    return {"mine": Learner(np.zeros((1, 4, points)), 1)}


def test_rows_sums_and_the_regret_to_each():
    entry = beside([0.5, 0.5, 0.6])
    assert (entry["episodes"], entry["trials"]) == (3, 5)
    assert {row["name"]: row["trial"] for row in entry["rows"]} == pytest.approx(
        {"told": 3.0, "optimum": 1.8, "lucky": 1.95}
    )
    mine = entry["learners"]["mine"]
    assert mine["episodes_per_point"] == 1
    assert mine["mean"] == pytest.approx([0.5, 0.5, 0.6])
    assert mine["trial"] == pytest.approx(1.6)
    assert {name: r["mean"] for name, r in mine["regret"].items()} == pytest.approx(
        {"told": 1.4, "optimum": 0.2, "lucky": 0.35}
    )
    assert mine["above"] == []
    json.dumps(entry, allow_nan=False)


def test_the_best_is_the_optimum_although_a_simulation_is_luckier():
    """The lowest exact bound; one that is limited to short trials is left out of longer ones."""
    assert beside([0.5, 0.5, 0.6])["best"] == "optimum"
    assert beside([0.5, 0.5, 0.6])["left_out"] == {"short": 2}
    short = beside_references(Known(), result(), nothing(2), 5)
    assert (short["best"], short["left_out"]) == ("optimum", {})


def test_the_best_without_an_optimum_is_the_highest_that_is_not_told_the_task():
    class Policies(Known):
        def references(self):
            return {name: r for name, r in super().references().items() if name in ("told", "lucky")} | {
                "poor": Reference("poor", lambda tasks, episodes, trials, rng: np.zeros((4, episodes)))
            }

    assert beside_references(Policies(), result(), nothing(3), 5)["best"] == "lucky"


def test_what_is_above_an_exact_bound_is_flagged(capsys):
    """Above the optimum but not above what is told the task, and nothing is said of a simulation that is exceeded."""
    entry = beside([0.7, 0.7, 0.7])
    assert entry["learners"]["mine"]["above"] == ["optimum"]
    print_references(entry)
    printed = " ".join(capsys.readouterr().out.split())
    assert "mine is above optimum, an exact bound, by 0.3000: beyond the 95 % interval" in printed
    assert beside([1.2, 1.2, 1.2])["learners"]["mine"]["above"] == ["told", "optimum"]
    print_references(beside([0.61, 0.6, 0.6]))
    assert "by 0.0100: within the 95 % interval" in " ".join(capsys.readouterr().out.split())


def test_a_learner_that_adapts_after_several_episodes_has_a_trial_of_all_of_them(capsys):
    """Two points of three episodes: 3 x 0.5 + 3 x 0.7 beside six episodes of the references."""
    entry = beside([0.5, 0.7], each=3)
    assert entry["episodes"] == 6
    mine = entry["learners"]["mine"]
    assert mine["mean"] == pytest.approx([0.5, 0.5, 0.5, 0.7, 0.7, 0.7])
    assert mine["regret"]["optimum"]["mean"] == pytest.approx(6 * 0.6 - 3.6)
    print_references(entry)
    assert "mine adapts after every 3 episodes, which share a mean" in " ".join(capsys.readouterr().out.split())


def test_learners_of_unequal_trials_are_compared_apart():
    """An optimum depends on the length of the trial."""
    learners = {
        "memory": Learner(np.zeros((1, 4, 4)), 1), "gradient": Learner(np.zeros((1, 4, 2)), 2),
        "longer": Learner(np.zeros((1, 4, 2)), 5),
    }  # fmt: skip
    entries = by_length(Known(), result(), learners, 1)
    assert [(entry["episodes"], set(entry["learners"])) for entry in entries] == [
        (4, {"memory", "gradient"}), (10, {"longer"}),
    ]  # fmt: skip


@pytest.mark.parametrize("split", ["out-of-distribution", "tasks.json"])
def test_on_other_tasks_the_optimum_of_the_prior_is_no_bound(split, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    family = Known()
    tasks = family.sample_tasks(4, "meta-test", np.random.default_rng(0))
    write_tasks(tmp_path / "tasks.json", family.task_space, tasks)
    monkeypatch.setattr(Known, "sample_tasks", lambda self, n, split, rng: tasks)
    entry = beside([0.7, 0.7, 0.7], split=split)
    assert {row["name"]: row["bound"] for row in entry["rows"]} == {"told": True, "optimum": False, "lucky": False}
    assert entry["learners"]["mine"]["above"] == []


def test_the_tasks_are_those_of_the_evaluation():
    """The oracle of a bandit is the highest probability of the tasks that `metarl tasks` would write."""
    from metarl.families.splits import held_out_generator

    family = BernoulliBandit()
    rng = held_out_generator("bernoulli-bandit", "duan16-5", "meta-test", 3)
    expected = family.sample_tasks(4, "meta-test", rng)["probabilities"].max(1).mean()
    entry = beside_references(family, result(seed=3), nothing(3), 2)
    assert entry["rows"][0]["mean"] == pytest.approx([expected] * 3)
    again = beside_references(family, result(seed=3), nothing(3), 2)
    assert entry == again


def test_what_cannot_be_measured_is_said():
    asked = ReferenceOptions(references=True)
    assert family_with_references(ReferenceOptions(), "no-such-family", None) is None
    with pytest.raises(FamilyError, match="--references: family 'navigation2d' has no references"):
        family_with_references(asked, "navigation2d", None)
    with pytest.raises(ConfigError, match="--reference-trials = 0"):
        family_with_references(replace(asked, reference_trials=0), "bernoulli-bandit", None)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    place = tmp_path_factory.mktemp("runs")
    config = MamlConfig(
        family="bernoulli-bandit", variant="duan16-5", iterations=1, meta_batch_size=2, episodes=2,
        validation_tasks=0, policy=PolicyConfig(hidden_sizes=(4,)),
    )  # fmt: skip
    train("maml", config, place / "a1")
    train("maml", replace(config, seed=2), place / "a2")
    train("maml", replace(config, family="navigation2d", variant="finn17"), place / "n1")
    return place


def test_evaluate_on_the_command_line(runs, tmp_path):
    line = "evaluate {r}/a1 --tasks 5 --episodes 1 --steps 3 --json {t}/e.json"
    code, plain, err = command_line(line, r=runs, t=tmp_path)
    assert (code, err) == (0, "")
    without = json.loads((tmp_path / "e.json").read_text())
    code, out, err = command_line(line + " --references --reference-trials 3", r=runs, t=tmp_path)
    assert (code, err) == (0, "")
    assert out.startswith(plain)
    assert "regret to bayes-optimal" in out[len(plain) :]
    found = json.loads((tmp_path / "e.json").read_text())
    entry = found.pop("references")
    assert found == without
    assert (entry["episodes"], entry["trials"]) == (4, 3)
    learner = entry["learners"]["learner"]
    assert learner["mean"] == pytest.approx(found["return"]["mean"])
    optimum = next(row for row in entry["rows"] if row["name"] == "bayes-optimal")
    assert learner["regret"]["bayes-optimal"]["mean"] == pytest.approx(optimum["trial"] - learner["trial"])
    same = metarl.evaluate(runs / "a1", tasks=5, episodes=1, steps=3, references=True, reference_trials=3)
    assert same == {**found, "references": entry}


def test_compare_on_the_command_line(runs, tmp_path, monkeypatch):
    monkeypatch.setattr("metarl.evaluation.comparison.VALIDATION_TASKS", 2)
    monkeypatch.setattr("metarl.evaluation.comparison.VALIDATION_EPISODES", 2)
    monkeypatch.setattr("metarl.evaluation.comparison.MOST_RATES", 3)
    line = "compare {r}/a1 {r}/a2 --tasks 4 --episodes 2 --steps 1 --json {t}/c.json"
    code, plain, err = command_line(line, r=runs, t=tmp_path)
    assert (code, err) == (0, "")
    without = json.loads((tmp_path / "c.json").read_text())
    code, out, err = command_line(line + " --references", r=runs, t=tmp_path)
    assert (code, err) == (0, "")
    assert out.startswith(plain)
    found = json.loads((tmp_path / "c.json").read_text())
    (entry,) = found.pop("references")
    assert found == without
    assert (entry["episodes"], entry["learners"]["maml"]["episodes_per_point"]) == (4, 2)
    measured = entry["learners"]["maml"]["regret"]["oracle"]
    assert measured["interval"] == OVER_SEEDS
    oracle = next(row for row in entry["rows"] if row["name"] == "oracle")
    assert measured["mean"] == pytest.approx(oracle["trial"] - entry["learners"]["maml"]["trial"])
    assert measured["ci95_low"] <= measured["mean"] <= measured["ci95_high"]


@pytest.mark.parametrize("line", ["evaluate {r}/n1 --references", "compare {r}/n1 --references"])
def test_a_family_without_references_is_one_line(runs, line):
    code, out, err = command_line(line, r=runs)
    assert (code, out) == (2, "")
    assert err.startswith("metarl: error: --references: family 'navigation2d' has no references")
    assert len(err.splitlines()) == 1


def test_a_model_is_measured_at_the_first_episode():
    stable_baselines3 = pytest.importorskip("stable_baselines3", reason="stable-baselines3 is not installed")
    family = BernoulliBandit()
    env = family.make({"probabilities": np.full(5, 0.5, np.float32)})
    model = stable_baselines3.PPO("MlpPolicy", env, n_steps=8, batch_size=8, seed=1, device="cpu")
    found = metarl.evaluate(model, family="bernoulli-bandit", tasks=4, episodes=3, references=True)
    assert found["references"]["episodes"] == 1
    assert found["references"]["learners"]["learner"]["mean"] == pytest.approx(found["return"]["mean"])
    assert "references" not in metarl.evaluate(model, family="bernoulli-bandit", tasks=4, episodes=3)

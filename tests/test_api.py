import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from gymnasium import spaces

import metarl
from metarl.families.checks.check import check_family
from metarl.families.tasks import write_tasks
from metarl.runs.directory import read_config


def test_three_lines_of_python(tmp_path):
    run = metarl.train(
        "maml-trpo", run_dir=tmp_path / "run", iterations=1, meta_batch_size=2, episodes=2, validation_tasks=0,
        policy={"hidden_sizes": [8]},
    )  # fmt: skip
    assert metarl.evaluate(run, tasks=2, episodes=2, steps=1)["tasks"] == 2
    with pytest.raises(metarl.MetarlError, match="unknown key 'iteration'"):
        metarl.train("maml-trpo", run_dir=tmp_path / "other", iteration=1)
    assert not (tmp_path / "other").exists()


def test_a_stopped_training_does_not_look_finished(tmp_path):
    import os
    import signal

    def stop(record):
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        metarl.train("maml-trpo", run_dir=tmp_path / "run", iterations=50, meta_batch_size=2, episodes=2, report=stop)
    assert (tmp_path / "run" / "checkpoints" / "00000001").exists()


def test_a_budget_in_episodes_replaces_the_presets_budget_in_samples(tmp_path):
    options = {"iterations": 1, "meta_batch_size": 2, "validation_tasks": 0}
    metarl.train("maml-trpo", run_dir=tmp_path / "run", episodes=2, **options)
    record = json.loads((tmp_path / "run" / "metrics.jsonl").read_text())
    assert record["environment_steps"] <= 2 * 2 * 2 * 100
    with pytest.raises(metarl.MetarlError, match="one or the other"):
        metarl.train("maml-trpo", run_dir=tmp_path / "x", config=metarl.MamlTrpoConfig(), family="navigation2d")


TINY = {"iterations": 1, "meta_batch_size": 2, "episodes": 2, "validation_tasks": 0, "policy": {"hidden_sizes": [4]}}


def swings(horizon=3):
    return metarl.declare_family(
        "Pendulum-v1", spaces.Dict({"m": spaces.Box(0.5, 2.0, ())}), horizon=horizon, name="swings"
    )


def test_a_family_is_given_as_an_object(tmp_path):
    """A family of this program only: its run says so, and is evaluated and resumed with the object."""
    run = metarl.train("maml-trpo", run_dir=tmp_path / "run", family=swings(), **TINY)
    _, config = read_config(run)
    assert config.family == "<swings>"
    budget = {"tasks": 2, "episodes": 2, "steps": 1}
    same_process = metarl.evaluate(run, **budget)
    copied = shutil.copytree(run, tmp_path / "copy")  # as another process sees it
    for use in (metarl.evaluate, metarl.resume):
        with pytest.raises(metarl.MetarlError, match="'<swings>' was handed over as an object that no module has"):
            use(copied)
    assert metarl.evaluate(copied, family=swings(), **budget) == same_process
    assert metarl.resume(copied, family=swings(), iterations=2).iteration == 2
    with pytest.raises(metarl.MetarlError, match="not resumed: its horizon is 3 there and 4 here"):
        metarl.resume(copied, family=swings(horizon=4), iterations=3)
    assert metarl.load(copied).act(np.zeros(3)).shape == (1,)
    other = metarl.train("maml-trpo", run_dir=tmp_path / "other", config=replace(config, family=swings(5)))
    assert metarl.evaluate(other, **budget)["protocol"]["horizon"] == 5
    assert metarl.evaluate(run, **budget)["protocol"]["horizon"] == 3
    with pytest.raises(metarl.MetarlError, match=r"^family = <class .*expected a name or a TaskFamily"):
        metarl.train("maml-trpo", run_dir=tmp_path / "x", family=metarl.TaskFamily)


def test_an_object_that_has_a_name_is_found_again_by_it(tmp_path):
    wide = metarl.load_family("navigation2d", "wide")
    run = metarl.train("maml-trpo", run_dir=tmp_path / "run", family=wide, **TINY)
    assert read_config(run)[1].task_name() == ("navigation2d", "wide")
    assert metarl.evaluate(run, tasks=2, episodes=2, steps=0)["variant"] == "wide"
    finn17 = metarl.evaluate(run, family=metarl.load_family("navigation2d"), tasks=2, episodes=2, steps=0)
    assert finn17["variant"] == "finn17"
    assert next(check_family("tests.helpers.families:PENDULUM")).verdict == "pass"


def test_values_from_python_are_taken(tmp_path, navigation_run):
    numbers = {"iterations": np.int64(2), "meta_batch_size": np.int32(2), "policy": {"hidden_sizes": np.array([4])}}
    run = metarl.train("maml-trpo", run_dir=tmp_path / "run", **{**TINY, **numbers}, inner={"lr": np.float32(0.5)})
    _, config = read_config(run)
    assert (config.iterations, config.policy.hidden_sizes, config.inner.lr) == (2, (4,), 0.5)
    run = metarl.train("maml-trpo", run_dir=tmp_path / "again", config=replace(config, seed=np.int64(3)))
    assert read_config(run)[1].seed == 3
    budget = {"tasks": np.int64(2), "episodes": 2, "steps": np.int8(1)}
    result = metarl.evaluate(run, checkpoint=2, **budget)
    assert result == metarl.evaluate(run, checkpoint="2", tasks=2, episodes=2, steps=1)
    json.dumps(result)
    assert metarl.load(run, checkpoint=np.int64(2)).act(np.zeros(2)).shape == (2,)
    assert metarl.resume(run, iterations=np.int64(3)).iteration == 3


def test_tasks_are_given_as_a_list_or_a_batch(tmp_path, navigation_run, family):
    goals = np.array([[0.1, 0.2], [0.3, -0.4]], np.float32)
    write_tasks(tmp_path / "goals.json", family.task_space, {"goal": goals})
    budget = {"episodes": 2, "steps": 1}
    expected = metarl.evaluate(navigation_run, split=tmp_path / "goals.json", **budget)
    for given in ([{"goal": goal} for goal in goals], {"goal": goals}, [{"goal": goal.tolist()} for goal in goals]):
        result = metarl.evaluate(navigation_run, split=given, **budget)
        assert (result["split"], result["tasks"]) == ("given", 2)
        np.testing.assert_allclose([task["goal"] for task in result["given_tasks"]], goals)
        assert result["per_task"] == expected["per_task"]
    arms = [{"probabilities": [0.1, 0.2, 0.3, 0.4, 0.5]}]
    run = metarl.train("maml-trpo", run_dir=tmp_path / "run", family="bernoulli-bandit", **TINY)
    assert "references" in metarl.evaluate(run, split=arms, references=True, reference_trials=2, **budget)


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (
            lambda run: metarl.train("maml-trpo", run_dir="x", meta_batch_size=0),
            "meta_batch_size = 0; expected a whole",
        ),
        (lambda run: metarl.train("maml-trpo", run_dir="x", inner={"first_order": 3}), "train: inner.first_order = 3"),
        (lambda run: metarl.train("maml-trpo", run_dir="x", inner={"later_lr": -1.0}), "inner.later_lr = -1.0"),
        (
            lambda run: metarl.train("maml-trpo", run_dir="x", iterations="3"),
            "train: iterations = '3'; expected a whole",
        ),
        (lambda run: metarl.evaluate(run, tasks=0), "tasks = 0; expected a whole number of at least 1"),
        (lambda run: metarl.evaluate(run, tasks=2.5), "evaluate: tasks = 2.5; expected a whole number"),
        (lambda run: metarl.evaluate(run, inner_lr=-1), "inner_lr = -1.0; expected a number above 0"),
        (lambda run: metarl.evaluate(run, checkpoint=17), "no checkpoint '17'; there are last, best, 1"),
        (lambda run: metarl.evaluate(run, split=[]), "split: expected the name of a split, a file of tasks, or a list"),
        (lambda run: metarl.evaluate(run, split={"goal": 3}), "split: expected the name of a split"),
        (lambda run: metarl.evaluate(run, split=[{"gaol": [0, 0]}]), "split: task 0: unknown entry 'gaol'"),
        (lambda run: metarl.evaluate(run, split=[{"goal": [0, 9]}]), "split: task 0: goal = "),
        (lambda run: metarl.resume(run, iterations=-1), "iterations = -1; expected a number that is not negative"),
        (lambda run: metarl.resume(run, iterations=2.0), "iterations = 2.0; expected a whole number"),
        (lambda run: metarl.resume(run, iterations=0), "iterations = 0; expected at least 1, which "),
        (lambda run: metarl.load(run).adapt(None, episodes=0), "episodes = 0; expected a whole number"),
    ],
)
def test_what_is_wrong_is_said_in_the_words_of_python(navigation_run, tmp_path, monkeypatch, use, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(metarl.MetarlError, match=re.escape(message)) as caught:
        use(navigation_run)
    assert "\n" not in str(caught.value)
    assert "--" not in str(caught.value)
    assert not (tmp_path / "x").exists()

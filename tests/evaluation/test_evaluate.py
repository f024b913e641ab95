import json

import numpy as np
import pytest

import metarl
from metarl.config.run import InnerConfig
from metarl.core.errors import ConfigError, FamilyError, RunError
from metarl.families.tasks import write_tasks
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


def test_a_task_that_diverges_has_no_value_from_there_on(run):
    """A rate that overflows the parameters: step 0 is measured, the rest is null, and nothing is raised."""
    result = metarl.evaluate(run, tasks=3, episodes=2, steps=2, inner_lr=1e39)
    assert all(row[0] is not None for row in result["per_task"])
    assert all(row[1:] == [None, None] for row in result["per_task"])
    assert result["return"]["mean"][2] is None


def test_result_holds_what_scripts_rely_on(run):
    result = metarl.evaluate(run, tasks=5, episodes=4, steps=2)
    keys = "family variant split seed tasks episodes_per_step environment_steps return per_task worse_after_adaptation"
    assert set(keys.split()) <= result.keys()
    assert result["environment_steps"] == [0, 400, 800]
    assert len(result["per_task"]) == 5
    assert all(len(row) == 3 for row in result["per_task"])
    assert set(result["return"]) == {"mean", "standard_error", "iqm", "ci95_low", "ci95_high", "interval"}
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
        ({"tasks": 0}, ConfigError, "^tasks = 0"),
        ({"steps": -1}, ConfigError, "^steps = -1"),
        ({"inner_lr": 0.0}, ConfigError, "^inner_lr = 0.0"),
        ({"split": "meta-tst"}, FamilyError, "did you mean 'meta-test'"),
        ({"split": "nothing.json"}, FamilyError, "nothing.json"),
        ({"checkpoint": "5"}, RunError, "no checkpoint '5'"),
        (
            {"family": "coupled-direction"}, RunError,
            r"trained where actions are 2 numbers; those of family 'coupled-direction': 4 numbers",
        ),
        (
            {"family": "bernoulli-bandit"}, RunError,
            r"trained where observations have 2 entries; those of family 'bernoulli-bandit': 1 entries",
        ),
        ({"initialisation": "cold"}, ConfigError, "expected trained or random"),
    ],
)  # fmt: skip
def test_what_cannot_be_evaluated_is_said(run, options, error, message):
    with pytest.raises(error, match=message):
        metarl.evaluate(run, **options)

import numpy as np
import pytest
from gymnasium import spaces

from metarl.core.errors import FamilyError
from metarl.families.splits import ListedSplits, UniformSplits, shared_splits
from tests.helpers.families import draw, pendulum


def test_splits_are_disjoint_and_reproducible(family):
    drawn = {}
    for i, split in enumerate(family.splits.names):
        tasks = draw(family, 500, split, seed=i)
        np.testing.assert_array_equal(tasks["goal"], draw(family, 500, split, seed=i)["goal"])
        drawn[split] = {tuple(goal) for goal in tasks["goal"]}
        assert len(drawn[split]) == 500
    names = list(drawn)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            assert not drawn[a] & drawn[b]


def test_out_of_distribution_lies_outside_the_training_range(family):
    goals = draw(family, 300, "out-of-distribution")["goal"]
    assert (np.abs(goals).max(1) > 0.5).all()
    assert np.abs(goals).max() <= 1
    with pytest.raises(FamilyError, match="unknown split"):
        draw(pendulum(), 3, "out-of-distribution")


def test_listed_and_shared_splits():
    tasks = [{"d": np.int64(i)} for i in range(4)]
    listed = ListedSplits({"meta-train": tasks[:3], "meta-test": tasks[3:]})
    assert sorted(listed.sample(6, "meta-train", np.random.default_rng(0))["d"]) == [0, 0, 1, 1, 2, 2]
    assert listed.sample(2, "meta-test", np.random.default_rng(0))["d"].tolist() == [3, 3]
    assert listed.kind == "disjoint"
    assert shared_splits(tasks).kind == "shared"
    with pytest.raises(FamilyError, match="unknown split 'test'"):
        listed.sample(1, "test", np.random.default_rng(0))


def test_discrete_and_integer_entries_are_drawn_within_their_space():
    space = spaces.Dict({"d": spaces.Discrete(3, start=5), "n": spaces.Box(1, 4, (2,), np.int64)})
    tasks = UniformSplits(space).sample(200, "meta-train", np.random.default_rng(0))
    assert set(tasks["d"]) == {5, 6, 7}
    assert set(tasks["n"].flatten()) == {1, 2, 3, 4}


def test_continuous_tasks_are_drawn_number_by_number_in_the_order_of_tasks():
    space = spaces.Dict({"x": spaces.Box(-1, 3, (2,)), "y": spaces.Box(0.0, 5.0, (), np.float64)})
    tasks, rng = UniformSplits(space).sample(7, "meta-train", np.random.default_rng(4)), np.random.default_rng(4)
    assert {name: values.dtype for name, values in tasks.items()} == {"x": np.float32, "y": np.float64}
    for task in range(7):
        assert tasks["x"][task].tolist() == [np.float32(rng.uniform(-1, 3)) for _ in range(2)]
        assert tasks["y"][task] == rng.uniform(0, 5)


def test_families_over_discrete_tasks_say_that_their_splits_share_them():
    assert UniformSplits(spaces.Dict({"d": spaces.Discrete(3)})).kind == "shared"
    assert UniformSplits(spaces.Dict({"d": spaces.Discrete(3), "x": spaces.Box(0, 1, ())})).kind == "disjoint"
    one = [{"d": np.int64(1)}]
    with pytest.raises(FamilyError, match="is in meta-train and in meta-test"):
        ListedSplits({"meta-train": one, "meta-test": one})
    assert ListedSplits({"meta-train": one, "meta-test": one}, kind="shared").kind == "shared"


def test_a_training_range_lies_within_the_task_space():
    wide, narrow = (spaces.Dict({"x": spaces.Box(0.0, high, ())}) for high in (2.0, 1.0))
    with pytest.raises(FamilyError, match="reaches out of task_space"):
        UniformSplits(narrow, wide)
    with pytest.raises(FamilyError, match="expected the entries x"):
        UniformSplits(narrow, spaces.Dict({"y": spaces.Box(0.0, 1.0, ())}))


def test_more_tasks_begin_with_the_same_ones():
    few, many = (draw(pendulum(), n, "meta-test") for n in (3, 6))
    for name in ("g", "m"):
        np.testing.assert_array_equal(few[name], many[name][:3])

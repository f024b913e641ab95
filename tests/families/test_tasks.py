import json

import numpy as np
import pytest
from gymnasium import spaces

from metarl.core.errors import FamilyError
from metarl.families.tasks import (
    batch_tasks,
    number_of_tasks,
    parse_task,
    read_tasks,
    task_at,
    task_vectors,
    write_tasks,
)
from tests.helpers.families import draw


def test_tasks_survive_json_and_files(tmp_path, family):
    tasks = draw(family, 5, "meta-test")
    path = tmp_path / "tasks.json"
    write_tasks(path, family.task_space, tasks)
    np.testing.assert_array_equal(read_tasks(path, family.task_space)["goal"], tasks["goal"])
    assert json.loads(path.read_text())[0].keys() == {"goal"}
    path.write_text("[{}")
    with pytest.raises(FamilyError, match="cannot be read"):
        read_tasks(path, family.task_space)


@pytest.mark.parametrize(
    "value", [[1], {"goal": [1]}, {"goal": "x"}, {}, {"goal": [5, 5]}, {"goal": None}, {"goals": [0, 0]}]
)
def test_tasks_that_are_none(family, value):
    with pytest.raises(FamilyError):
        parse_task(family.task_space, value)


def test_task_vectors_and_batches():
    space = spaces.Dict({"a": spaces.Box(-1, 1, (2,)), "b": spaces.Discrete(3)})
    tasks = batch_tasks([{"a": np.zeros(2), "b": 1}, {"a": np.ones(2), "b": 2}])
    assert number_of_tasks(tasks) == 2
    assert task_at(tasks, 1)["b"] == 2
    assert task_vectors(space, tasks).tolist() == [[0, 0, 0, 1, 0], [1, 1, 0, 0, 1]]


@pytest.mark.parametrize("value", [1.7, "2", 1e400, None, [1, 2]])
def test_discrete_entries_take_whole_numbers_only(value):
    with pytest.raises(FamilyError):
        parse_task(spaces.Dict({"d": spaces.Discrete(5)}), {"d": value})

import json

import numpy as np
import pytest

from metarl.core.errors import RunError
from metarl.core.numbers import finite_list, number_text, words, write_json


def test_numbers_that_json_does_not_have_are_null():
    assert finite_list(np.array([1, np.nan, -np.inf, 2.5], np.float32)) == [1.0, None, None, 2.5]
    assert all(type(value) is float for value in finite_list(np.array([1, 2])))


def test_results_are_written_into_folders_that_are_not_there_yet(tmp_path):
    path = tmp_path / "a" / "b" / "result.json"
    write_json(path, {"mean": [1.5, None]})
    assert json.loads(path.read_text()) == {"mean": [1.5, None]}
    assert path.read_text().endswith("}\n")
    with pytest.raises(RunError, match=r"not written: mean\.0 = nan"):
        write_json(path, {"mean": [float("nan")]})
    assert json.loads(path.read_text()) == {"mean": [1.5, None]}, "a result that cannot be written destroyed another"
    with pytest.raises(RunError, match=r"result\.json/x\.json: cannot be written: "):
        write_json(path / "x.json", {})


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (12.3456, "12.35"), (-3.0, "-3.00"), (0.12345, "0.1235"), (-1.0, "-1.0000")]
)
def test_what_is_measured_on_a_scale_of_one_has_two_digits_more(value, text):
    assert number_text(value) == text


def test_names_of_measures_are_words():
    assert words("environment_steps") == "environment steps"

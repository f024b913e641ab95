"""What a reference returns is checked before it is shown."""

import numpy as np
import pytest

from metarl.core.errors import FamilyError
from metarl.references.reference import Reference

TASKS = {"goal": np.zeros((3, 2))}


def returning(values):
    return Reference("mine", lambda tasks, episodes, trials, rng: values)


def test_arguments_reach_the_function_and_whole_numbers_become_floats():
    seen = []

    def returns(*arguments):
        seen.append(arguments)
        return np.ones((3, 4), int)

    rng = np.random.default_rng(0)
    found = Reference("mine", returns).measure(TASKS, 4, 7, rng)
    assert seen == [(TASKS, 4, 7, rng)]
    assert found.dtype == float
    assert found.tolist() == [[1.0] * 4] * 3


def test_another_shape_and_values_that_are_not_finite_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(FamilyError, match=r"reference 'mine': returns of shape \(4,\); expected \(3, 4\)"):
        returning(np.ones(4)).measure(TASKS, 4, 1, rng)
    with pytest.raises(FamilyError, match="not finite"):
        returning(np.full((3, 4), np.nan)).measure(TASKS, 4, 1, rng)

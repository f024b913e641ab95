import numpy as np
import pytest

from metarl.families.vector import successes_in


def test_what_vector_environments_say():
    assert successes_in({"near": np.ones(2)}, 2) is None
    named = {"is_success": np.array([None, True, False], object), "_is_success": np.array([False, True, True])}
    assert successes_in(named, 3).tolist() == [False, True, False]
    assert successes_in({"success": np.array([[1.0], [0.0]])}, 2).tolist() == [True, False]
    with pytest.raises(ValueError, match=r"info\['success'\] has shape \(2, 2\); expected \(2,\)"):
        successes_in({"success": np.ones((2, 2))}, 2)

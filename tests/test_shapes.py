"""Shapes in annotations are checked while the tests run."""

import os

import numpy as np
import pytest
import torch
from jaxtyping import Float, TypeCheckError
from torch import Tensor

from metarl.core.collectives import mean_over_tasks
from metarl.core.seed_axis import by_seed
from metarl.rl.advantages import discounted_sums, fit_baseline
from tests.helpers.shapes import check

pytestmark = pytest.mark.skipif(
    os.environ.get("METARL_SHAPES") == "0", reason="shapes are not checked: METARL_SHAPES=0"
)


def test_a_wrong_shape_is_found_where_it_enters():
    features, targets, mask = torch.ones(2, 3, 4, 5), torch.ones(2, 3, 4), torch.ones(2, 3, 4, dtype=torch.bool)
    assert fit_baseline(features, targets, mask).shape == (2, 5)
    with pytest.raises(TypeCheckError, match="targets"):
        fit_baseline(features, targets[:, :, :-1], mask)
    with pytest.raises(TypeCheckError, match="mask"):
        fit_baseline(features, targets, mask.float())
    with pytest.raises(TypeCheckError, match="values"):
        discounted_sums(np.ones(3), 0.9)


def test_shapes_with_any_number_of_axes_are_checked():
    """An annotation whose quotes were lost is no shape, and nothing would be checked."""
    for function in (mean_over_tasks, by_seed):
        with pytest.raises(TypeCheckError, match="values"):
            function(torch.tensor(1.0))


def test_a_result_of_another_shape_is_found():
    @check
    def halved(values: Float[Tensor, " rows"]) -> Float[Tensor, " rows"]:
        return values[::2]

    with pytest.raises(TypeCheckError, match="return"):
        halved(torch.ones(4))

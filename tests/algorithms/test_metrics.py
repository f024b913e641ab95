import pytest
import torch

from metarl.algorithms.metrics import norm, to_metrics, tree_map
from metarl.core.ranks import Ranks, use_ranks
from metarl.core.seed_axis import use_seed_axis
from metarl.core.timing import Phases

GRADIENT = {"a": torch.tensor([[3.0, 0.0], [0.0, 12.0]]), "b": torch.tensor([4.0, 5.0])}


def test_the_norm_is_over_all_parameters_of_a_seed():
    assert float(norm(GRADIENT)) == pytest.approx((9 + 144 + 16 + 25) ** 0.5)
    with use_seed_axis(2):
        assert norm(GRADIENT).tolist() == [5.0, 13.0]


def test_tensors_become_numbers_unless_several_seeds_have_one_each():
    values = {"return": [torch.tensor(1.5), None], "line_search": {"accepted": torch.tensor(True)}, "name": "x"}
    assert to_metrics(values, Phases()) == {
        "return": [1.5, None], "line_search": {"accepted": True}, "name": "x", "seconds": {},
    }  # fmt: skip
    with use_seed_axis(2):
        kept = to_metrics({"kl": torch.tensor([1.0, 2.0])}, Phases())
    assert kept["kl"].tolist() == [1, 2]


def test_seconds_are_rounded_and_bytes_are_there_where_some_were_sent():
    ranks, phase = Ranks(), Phases()
    with use_ranks(ranks):
        with phase("collect"):
            pass
        with phase("gradient"):
            ranks.bytes_sent += 800
    phase.seconds = {"collect": 0.12345678, "gradient": 2.0}
    assert to_metrics({}, phase) == {
        "seconds": {"collect": 0.123457, "gradient": 2.0}, "exchanged_bytes": {"collect": 0, "gradient": 800},
    }  # fmt: skip


def test_a_tree_keeps_its_shape():
    tree = {"a": [torch.tensor(2), {"b": torch.tensor(3)}], "c": None, "d": "text"}
    assert tree_map(tree, lambda value: int(value) * 10) == {"a": [20, {"b": 30}], "c": None, "d": "text"}

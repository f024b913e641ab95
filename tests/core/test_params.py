import torch

from metarl.core.params import tree_where

MASK = torch.tensor([[True, False], [False, True]])


def test_a_mask_chooses_whole_entries_of_any_shape():
    new, old = torch.arange(8.0).reshape(2, 2, 2), -torch.ones(2, 2, 2)
    assert tree_where(MASK, new, old).tolist() == [[[0, 1], [-1, -1]], [[-1, -1], [6, 7]]]
    assert tree_where(MASK, torch.ones(2, 2), torch.zeros(2, 2)).tolist() == [[1, 0], [0, 1]]


def test_dictionaries_and_tuples_are_chosen_from_entry_by_entry():
    new = {"hidden": (torch.ones(2, 2, 3), torch.full((2, 2), 5)), "count": torch.full((2, 2), 7)}
    old = {
        "hidden": (torch.zeros(2, 2, 3), torch.zeros(2, 2, dtype=torch.int64)),
        "count": torch.tensor([[1, 2], [3, 4]]),
    }
    found = tree_where(MASK, new, old)
    assert found["hidden"][0].sum(-1).tolist() == [[3, 0], [0, 3]]
    assert found["hidden"][1].tolist() == [[5, 0], [0, 5]]
    assert found["count"].tolist() == [[7, 2], [3, 7]]
    assert isinstance(found["hidden"], tuple)

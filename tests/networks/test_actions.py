import json

import numpy as np
import pytest
from gymnasium import spaces

from metarl.core.errors import FamilyError
from metarl.networks.actions import (
    choices_from,
    described_choices,
    heads_of,
    in_rows,
    in_space,
    is_supported,
    one_in_space,
    starts_of,
)

SEVERAL = [
    spaces.MultiDiscrete([3, 2], start=[5, -1]),
    spaces.MultiDiscrete([[3, 2], [2, 4]]),
    spaces.MultiBinary(3),
    spaces.MultiBinary((2, 2)),
    spaces.Tuple([spaces.Discrete(4, start=1), spaces.MultiBinary(2), spaces.MultiDiscrete([2, 3])]),
]


@pytest.mark.parametrize("space", SEVERAL, ids=str)
def test_every_choice_is_an_action_and_every_action_is_one(space):
    heads = heads_of(space)
    assert is_supported(space)
    assert len(starts_of(space)) == len(heads)
    chosen = np.array(list(np.ndindex(*heads)))
    actions = [one_in_space(row, space) for row in chosen]
    assert all(space.contains(action) for action in actions)
    assert len({str(action) for action in actions}) == np.prod(heads)
    batch = in_space(chosen, space)
    for row in (0, len(chosen) - 1):
        one = in_rows(batch, row, row + 1)
        alone = tuple(part[0] for part in one) if isinstance(one, tuple) else one[0]
        assert str(alone) == str(actions[row])
    again = choices_from(json.loads(json.dumps(described_choices(space))))
    assert again == space


def test_other_spaces_have_no_heads():
    mixed = spaces.Tuple([spaces.Discrete(2), spaces.Box(-1, 1, (2,))])
    for space in (mixed, spaces.Tuple([]), spaces.Dict({"a": spaces.Discrete(2)}), spaces.Box(-1, 1, (2, 2))):
        assert heads_of(space) is None
        assert not is_supported(space)
    assert is_supported(spaces.Discrete(3))
    assert is_supported(spaces.Box(-1, 1, (2,)))
    with pytest.raises(FamilyError, match=r"action space Box.* is not supported: expected Discrete, MultiDiscrete"):
        described_choices(mixed)

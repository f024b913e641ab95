import json

import numpy as np
import pytest
from gymnasium import spaces

from metarl.core.errors import FamilyError
from metarl.networks.spaces import described, from_description, has_bytes, is_flat, is_image
from tests.helpers.spaces import IMAGE, PARTS


@pytest.mark.parametrize("space", [IMAGE, PARTS, *PARTS.values(), spaces.Dict({"inner": PARTS})])
def test_a_description_is_json_and_keeps_what_networks_see(space):
    again = from_description(json.loads(json.dumps(described(space))))
    assert type(again) is type(space)
    assert spaces.flatdim(again) == spaces.flatdim(space)
    assert described(again) == described(space)
    assert has_bytes(again) == has_bytes(space)


def test_images_are_bytes_in_two_or_three_axes():
    assert is_image(IMAGE)
    assert is_image(spaces.Box(0, 255, (8, 6), np.uint8))
    assert not is_image(spaces.Box(0, 1, (8, 6, 3)))
    assert not is_image(spaces.Box(0, 255, (128,), np.uint8))
    assert is_flat(spaces.Box(0, 255, (128,), np.uint8))
    assert not is_flat(spaces.Discrete(3))


def test_other_spaces_are_refused_by_name():
    with pytest.raises(FamilyError, match=r"observation space Text.* expected a Box, Discrete"):
        described(spaces.Dict({"mission": spaces.Text(10)}))

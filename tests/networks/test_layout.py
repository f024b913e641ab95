import numpy as np
import torch
from gymnasium import spaces

from metarl.networks.layout import Layout, channels_first
from tests.helpers.spaces import IMAGE, PARTS


def test_images_are_restored_from_bytes_scaled_to_one():
    images = np.random.default_rng(0).integers(0, 256, (5, *IMAGE.shape), dtype=np.uint8)
    rows = torch.as_tensor(np.stack([spaces.flatten(IMAGE, image) for image in images]))
    layout = Layout(IMAGE)
    assert layout.reads_bytes
    assert rows.dtype == torch.uint8
    torch.testing.assert_close(layout.restore(rows, torch.float64), torch.as_tensor(images / 255))


def test_dictionaries_are_restored_part_by_part():
    PARTS.seed(0)
    samples = [PARTS.sample() for _ in range(4)]
    layout = Layout(PARTS)
    rows = torch.as_tensor(np.stack([spaces.flatten(PARTS, sample) for sample in samples]))
    read = layout.restore(rows, torch.float64)
    assert not layout.reads_bytes
    assert list(read) == list(PARTS)
    for row, sample in enumerate(samples):
        np.testing.assert_allclose(read["image"][row], sample["image"] / 255)
        np.testing.assert_allclose(read["speed"][row], sample["speed"])
        assert read["direction"][row].argmax() == sample["direction"]
        assert read["levers"][row].tolist() == spaces.flatten(PARTS["levers"], sample["levers"]).tolist()
        assert read["lamps"][row].tolist() == sample["lamps"].tolist()


def test_the_baseline_sees_coarse_images_in_floats():
    space = spaces.Box(0, 255, (21, 14, 2), np.uint8)
    images = torch.randint(0, 256, (2, 3, 21, 14, 2), dtype=torch.uint8)
    found = Layout(space).summary(images.flatten(2), torch.float64)
    blocks = images.double().reshape(2, 3, 7, 3, 7, 2, 2).mean((3, 5)) / 255
    torch.testing.assert_close(found, blocks.movedim(-1, 2).flatten(2))
    plain = torch.rand(2, 3, 4)
    assert Layout(spaces.Box(-1, 1, (4,))).summary(plain, torch.float64) is plain


def test_the_shorter_side_axis_is_the_channels():
    images = torch.rand(2, 9, 8, 3)
    torch.testing.assert_close(channels_first(images), images.permute(0, 3, 1, 2))
    stacked = torch.rand(2, 4, 9, 8)
    assert channels_first(stacked) is stacked
    assert channels_first(torch.rand(2, 9, 8)).shape == (2, 1, 9, 8)

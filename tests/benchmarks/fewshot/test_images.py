"""Few-shot tasks made of images, and the cache of decoded images."""

from functools import partial

import numpy as np
import pytest
import torch

from benchmarks.fewshot import images, omniglot
from metarl.core.errors import ConfigError, FamilyError, RunError
from tests.helpers.fewshot import DRAWINGS


def test_image_tasks_keep_support_and_query_apart(archives):
    found = omniglot.load(str(archives))
    splits = images.ClassSplits(omniglot.splits(found, "characters", 1), 3, 4)
    tasks = splits.sample(40, "meta-test", np.random.default_rng(0))
    assert tasks["classes"].shape == (40, 3)
    assert splits.sample(2, "meta-train", np.random.default_rng(0))["classes"].shape == (2, 4)
    assert all(len(set(row)) == 3 for row in tasks["classes"].tolist())
    draw = partial(images.draw, images=found, shots=2, queries=3, dtype=torch.float32)
    data = draw(tasks)
    assert data.support_targets[0].tolist() == [0, 0, 1, 1, 2, 2]
    assert data.query_targets[0].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    upright = torch.from_numpy(np.array(found.images)).float() / 255
    for task in range(40):
        shown: dict[int, set[int]] = {}
        for part, targets in (data[:2], data[2:]):
            for picture, target in zip(part[task], targets[task], strict=True):
                number = int(tasks["classes"][task, target])
                back = torch.rot90(picture, -(number % 4), (-2, -1))
                which = (upright == back).flatten(1).all(1).nonzero().flatten().tolist()
                assert len(which) == 1
                assert which[0] // DRAWINGS == number // 4
                assert which[0] not in shown.setdefault(number, set())
                shown[number].add(which[0])
    part = draw({name: values[7:9] for name, values in tasks.items()})
    assert all(torch.equal(a, b[7:9]) for a, b in zip(part, data, strict=True))


def test_classes_of_different_sizes(archives):
    """A class with few images never shows another's."""
    pixels = np.arange(9, dtype=np.uint8).reshape(9, 1, 1, 1)
    found = images.ImageSet(pixels, np.array([2, 4, 3]), ["a", "b", "c"])
    tasks = {"classes": np.tile([[0, 1, 2]], (30, 1)), "draw": np.arange(30)}
    data = images.draw(tasks, found, shots=1, queries=1, dtype=torch.float64)
    shown = (torch.cat([data.support_inputs, data.query_inputs], 1) * 255).round().long().flatten(1)
    for column, (low, high) in enumerate([(0, 2), (2, 6), (6, 9)]):
        both = shown[:, [column, column + 3]]
        assert bool(((both >= low) & (both < high)).all())
        assert bool((both[:, 0] != both[:, 1]).all())
        assert set(both.flatten().tolist()) == set(range(low, high))
    with pytest.raises(ConfigError, match="expected together at most 2, the images of a"):
        images.check_shots(found, 2, 1)


def test_images_are_decoded_again_when_a_source_changes(tmp_path):
    source, calls = tmp_path / "source", []

    def decode():
        calls.append(source.read_text())
        return np.full((2, 1, 1, 1), len(calls), np.uint8), ["a", "b"]

    for text, number in (("one", 1), ("one", 1), ("three", 2)):
        if not source.exists() or source.read_text() != text:
            source.write_text(text)
        pixels, labels = images.cached("numbers", [source], decode)
        assert pixels.flatten().tolist() == [number, number]
        assert labels == ["a", "b"]
    assert calls == ["one", "three"]


def test_a_damaged_cache_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("METARL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "source").write_text("x")

    def load():
        return images.cached("numbers", [tmp_path / "source"], lambda: (np.zeros((1, 1, 1, 1), np.uint8), ["a"]))

    load()
    (path,) = (tmp_path / "cache").glob("*.npy")
    path.write_bytes(b"nothing")
    with pytest.raises(RunError, match=r"damaged: .*; delete it to decode again"):
        load()
    monkeypatch.setenv("METARL_CACHE", str(tmp_path / "source"))
    with pytest.raises(RunError, match=r"cannot be written: .*; set METARL_CACHE to another folder"):
        load()


def test_an_unknown_split_is_refused():
    splits = images.ClassSplits({"meta-train": np.arange(4)}, 2, 2)
    with pytest.raises(FamilyError, match="unknown split 'meta-tests'"):
        splits.sample(1, "meta-tests", np.random.default_rng(0))
    with pytest.raises(ConfigError, match="--ways = 5; expected at most 4, the classes of meta-train"):
        images.ClassSplits({"meta-train": np.arange(4)}, 5, 5)

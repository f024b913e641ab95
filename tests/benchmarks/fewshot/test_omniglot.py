"""Omniglot from its archives, and its splits."""

import os

import numpy as np
import pytest

from benchmarks.fewshot import omniglot
from tests.helpers.fewshot import DRAWINGS

REAL = os.environ.get("METARL_OMNIGLOT")


@pytest.mark.parametrize("kind", ["characters", "alphabets"])
def test_omniglots_splits_share_no_character(archives, kind):
    found = omniglot.load(str(archives))
    assert found.images.shape == (20 * DRAWINGS, 1, 28, 28)
    assert found.classes == 80
    splits = omniglot.splits(found, kind, 1)
    characters = {name: set((numbers // 4).tolist()) for name, numbers in splits.items()}
    for name, numbers in splits.items():
        assert sorted(numbers.tolist()) == sorted(4 * c + r for c in characters[name] for r in range(4))
        for other in splits:
            assert other == name or not characters[name] & characters[other]
    assert set.union(*characters.values()) == set(range(20))
    if kind == "alphabets":
        assert {found.names[c].split("/")[0] for c in characters["meta-test"]} == {"images_evaluation"}
        validating = {found.names[c].split("/")[1] for c in characters["meta-validation"]}
        assert len(validating) == 1
        assert not validating & {found.names[c].split("/")[1] for c in characters["meta-train"]}
    other = omniglot.splits(found, kind, 2)
    assert kind == "alphabets" or set(other["meta-train"].tolist()) != set(splits["meta-train"].tolist())


def test_archives_are_decoded_once(archives, monkeypatch):
    first = omniglot.load(str(archives))
    monkeypatch.setattr(omniglot, "_decoded", None)
    second = omniglot.load(str(archives))
    np.testing.assert_array_equal(first.images, second.images)
    assert first.names == second.names
    # Ink is bright: the first drawing has the block of bit 0 and nothing else.
    assert first.images[0, 0, 3:6, 3:4].min() > 250
    assert first.images[0, 0, :, 14:].max() == 0


@pytest.mark.skipif(REAL is None, reason="METARL_OMNIGLOT does not say where Omniglot's archives are")
def test_the_real_omniglot(monkeypatch):
    monkeypatch.delenv("METARL_CACHE")
    found = omniglot.load(REAL)
    assert found.images.shape == (32460, 1, 28, 28)
    assert set(found.sizes.tolist()) == {20}
    characters = omniglot.splits(found, "characters", 1)
    assert [len(numbers) // 4 for numbers in characters.values()] == [1100, 100, 423]
    alphabets = omniglot.splits(found, "alphabets", 1)
    assert sum(len(alphabets[name]) for name in ("meta-train", "meta-validation")) == 4 * 964
    assert len(alphabets["meta-test"]) == 4 * 659

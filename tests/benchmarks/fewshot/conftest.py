"""Fixtures of the few-shot tests."""

import pytest

from tests.helpers.fewshot import write_archives


@pytest.fixture(scope="session")
def archives(tmp_path_factory):
    """A folder with small versions of Omniglot's archives."""
    place = tmp_path_factory.mktemp("omniglot")
    write_archives(place)
    return place


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """A cache of decoded images for this session alone."""
    monkeypatch.setenv("METARL_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))

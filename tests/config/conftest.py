import sys

import pytest


@pytest.fixture
def written(tmp_path, monkeypatch):
    """A folder whose modules can be imported."""
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("broken_update", None)

import pytest


@pytest.fixture
def run(navigation_run):
    return navigation_run

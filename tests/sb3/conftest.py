import pytest

from tests.helpers.sb3 import policy_run

pytest.importorskip("stable_baselines3", reason="stable-baselines3 is not installed (extra sb3)")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return policy_run(tmp_path_factory.mktemp("runs") / "navigation")

"""Environments of other packages as families: declared, checked, trained for two iterations, evaluated."""

import numpy as np
import pytest

import metarl
from metarl.families.checks.check import check_family
from metarl.families.registry import load_family
from metarl.families.tasks import task_at
from tests.integration.third_party import PACKAGES

pytestmark = [pytest.mark.slow, pytest.mark.integration]


@pytest.fixture(params=PACKAGES)
def family(request):
    package = PACKAGES[request.param]
    pytest.importorskip(package, reason=f"{package} is not installed (extra integration)")
    return f"tests.integration.third_party:{request.param}"


def test_a_family_of_another_package(family, tmp_path):
    loaded = load_family(family)
    failed = [(finding.check, finding.found) for finding in check_family(loaded) if finding.verdict == "fail"]
    assert failed == []
    run = metarl.train(
        "maml", run_dir=tmp_path / "run", family=family, iterations=2, meta_batch_size=2, episodes=2,
        validation_tasks=2, policy={"hidden_sizes": (16,)},
    )  # fmt: skip
    result = metarl.evaluate(run, tasks=2, episodes=2, steps=1)
    assert len(result["return"]["mean"]) == 2
    assert all(isinstance(value, float) for value in result["return"]["mean"])
    agent = metarl.load(run)
    env = loaded.make(task_at(loaded.sample_tasks(1, "meta-test", np.random.default_rng(1)), 0))
    observation, _ = env.reset(seed=1)
    assert env.action_space.contains(agent.act(observation))
    env.close()

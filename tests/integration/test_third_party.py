"""Environments of other packages as families: declared, checked, trained for two iterations, evaluated."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

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


def test_it_has_an_id(family):
    env_id = f"integration/{family.partition(':')[2]}-v0"
    metarl.register_family(family, env_id)
    env = gymnasium.make(env_id)
    check_env(env.unwrapped, skip_render_check=True)
    task = env.reset(seed=3)[1]["task"]
    env.close()
    envs = gymnasium.make_vec(env_id, num_envs=2)
    _, info = envs.reset(seed=3)
    for name, value in task.items():
        assert info["task"][name].shape == (2, *np.shape(value))
    ends = np.zeros(2, int)
    for _ in range(min(load_family(family).horizon, 50)):
        observations, _, terminated, truncated, _ = envs.step(envs.action_space.sample())
        assert envs.observation_space.contains(observations)
        ends += terminated | truncated
    assert (ends > 0).all() or load_family(family).horizon > 50
    envs.close()

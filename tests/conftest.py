"""What several tests share."""

from __future__ import annotations

import os

# The tests are too small for a second thread, and several processes run them.
os.environ.setdefault("OMP_NUM_THREADS", "1")

if os.environ.get("METARL_SHAPES", "1") != "0":
    # Shapes and types in annotations are checked at every call; METARL_SHAPES=0 turns that off.
    from tests.helpers import shapes

    shapes.install(["metarl", "metarl_envs", "benchmarks"])

import pytest
from hypothesis import settings

from metarl.config.algorithms import MamlTrpoConfig
from metarl.config.run import InnerConfig, PolicyConfig
from metarl.core.prng import Key
from metarl.families.registry import load_family
from metarl.rl.policies import make_policy
from tests.helpers.runs import policy_run
from tests.helpers.tiny_mdp import TinyMDP

settings.register_profile("metarl", deadline=None, max_examples=25, derandomize=True)
settings.load_profile("metarl")


@pytest.fixture
def family():
    return load_family("navigation2d", "finn17")


@pytest.fixture
def policy(family):
    return make_policy(family.observation_space, family.action_space, hidden_sizes=(8, 8))


@pytest.fixture
def theta(policy):
    """An initialisation in float64."""
    return policy.initialise(Key.from_seed(3))


@pytest.fixture
def tiny_config():
    """A configuration whose iteration takes milliseconds."""
    return MamlTrpoConfig(
        family="navigation2d",
        variant="finn17",
        iterations=4,
        meta_batch_size=3,
        episodes=3,
        checkpoint_every=2,
        validation_tasks=2,
        inner=InnerConfig(lr=0.3),
        policy=PolicyConfig(hidden_sizes=(8,)),
    )


@pytest.fixture(scope="session")
def mdp():
    """A problem small enough to enumerate: expectations over its episodes are sums."""
    return TinyMDP()


@pytest.fixture(scope="session")
def navigation_run(tmp_path_factory):
    """A run of MAML on navigation2d after one iteration, that nothing changes."""
    return policy_run(tmp_path_factory.mktemp("runs") / "navigation")

"""An id for a family of one's own."""

import threading

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict

import metarl
from metarl.core.errors import ConfigError, FamilyError
from metarl.families import declare_family
from metarl.families.ids import register_family


def test_a_family_of_ones_own_has_an_id():
    swings = declare_family("Pendulum-v1", Dict({"g": Box(5.0, 15.0, ())}), name="swings", horizon=20)
    metarl.register_family(swings, "test/Swings-v0")
    env = gymnasium.make("test/Swings-v0", g=9.0)
    assert env.unwrapped._env.unwrapped.g == 9.0
    vector = gymnasium.make_vec("test/Swings-v0", num_envs=2)
    tasks = vector.reset(seed=3)[1]["task"]["g"]
    assert tasks.shape == (2,)
    assert len(np.unique(tasks)) == 2
    register_family("navigation2d", "test/Elsewhere-v3")
    assert gymnasium.make("test/Elsewhere-v3", variant="wide").unwrapped.family.variant == "wide"
    with pytest.raises(ConfigError, match=r"env_id = 'lander'; expected an id such as 'lander/Lander-v0'"):
        register_family(swings, "lander")
    with pytest.raises(FamilyError, match="family = 3; expected a name or a TaskFamily"):
        register_family(3, "test/Number-v0")


def test_gymnasium_copies_no_family():
    """It copies the specification of an id at every look, and a family may hold what cannot be copied."""
    swings = declare_family("Pendulum-v1", Dict({"g": Box(5.0, 15.0, ())}), name="swings", horizon=20)
    swings.lock = threading.Lock()
    metarl.register_family(swings, "test/Locked-v0")
    env = gymnasium.make("test/Locked-v0", g=9.0)
    assert env.spec.kwargs == {"g": 9.0}
    assert gymnasium.make(env.spec).unwrapped.family is env.unwrapped.family is swings


def test_processes_of_gymnasium_step_it():
    swings = declare_family("Pendulum-v1", Dict({"g": Box(5.0, 15.0, ())}), name="swings", horizon=20)
    metarl.register_family(swings, "test/Apart-v0")
    envs = gymnasium.make_vec("test/Apart-v0", num_envs=2, vectorization_mode="async")
    tasks = envs.reset(seed=3)[1]["task"]["g"]
    envs.close()
    expected = [gymnasium.make("test/Apart-v0").reset(seed=seed)[1]["task"]["g"] for seed in (3, 4)]
    np.testing.assert_array_equal(tasks, expected)

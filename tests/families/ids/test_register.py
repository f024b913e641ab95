"""An id for a family of one's own."""

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict

import metarl
from metarl.core.errors import ConfigError
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

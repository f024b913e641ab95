import pytest

from metarl.config.run import PolicyConfig
from metarl.config.sb3 import ReptileSb3Config
from metarl.config.validation import validate
from metarl.core.errors import ConfigError


def test_stable_baselines3_has_its_own_ways():
    config = ReptileSb3Config(policy=PolicyConfig(normalise_observations=True))
    with pytest.raises(ConfigError, match=r"policy\.normalise-observations = True; expected False: PPO"):
        validate(config)

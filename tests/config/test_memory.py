"""Options of adaptation by memory."""

from dataclasses import replace

import pytest

from metarl.config.memory import MemoryPolicyConfig, PpoConfig, Rl2Config
from metarl.config.run import InnerConfig
from metarl.config.validation import validate
from metarl.core.errors import ConfigError


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inner": InnerConfig(lr=0.3)}, r"--inner.lr = 0.3; expected 0.1: adaptation by memory has no use for it"),
        ({"inner": InnerConfig(first_order=True)}, "--inner.first-order = True; expected False"),
        ({"inner": InnerConfig(checkpointing=True)}, "--inner.checkpointing = True; expected False"),
        ({"samples_per_step": 300}, "--samples-per-step = 300; expected None"),
        ({"episodes": 3}, r"--ppo.minibatches = 4; expected at most 3, the trials of a task \(--episodes\)"),
        ({"ppo": PpoConfig(chunk=0)}, "--ppo.chunk = 0; expected a whole number of at least 1"),
        ({"ppo": PpoConfig(clip=0.0)}, "--ppo.clip = 0.0; expected a number above 0"),
        (
            {"policy": MemoryPolicyConfig(memory_size=0)},
            "--policy.memory-size = 0; expected a whole number of at least",
        ),
        ({"policy": MemoryPolicyConfig(hypernetwork=True, hidden_sizes=())}, "--policy.hidden-sizes = "),
        ({"policy": MemoryPolicyConfig(context=2)}, "--policy.context = 2"),
    ],
)
def test_what_memory_cannot_use_is_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        validate(replace(Rl2Config(), **change))


def test_the_defaults_are_valid_and_have_no_rate():
    validate(Rl2Config())
    assert not Rl2Config().has_rate()
    assert Rl2Config().learner() == "memory"


def test_any_number_of_trials_can_be_measured():
    for episodes in (1, 3, 40):
        measured = Rl2Config(episodes=8, ppo=PpoConfig(minibatches=8)).measured(episodes)
        validate(measured)
        assert (measured.episodes, measured.ppo.minibatches) == (episodes, min(episodes, 8))
    with pytest.raises(ConfigError, match="--samples-per-step = 100; expected None"):
        validate(Rl2Config().measured(4, samples_per_step=100))

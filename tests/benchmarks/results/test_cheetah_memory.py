"""The settings of Half-Cheetah with memory."""

import pytest

from benchmarks.results.cheetah_memory import SETTINGS, Options


@pytest.mark.parametrize("name", SETTINGS)
def test_twenty_million_steps_and_two_episodes(name):
    """The horizon of Finn et al. (2017) is 200 steps."""
    setting = SETTINGS[name]
    assert (setting.rl2.variant, setting.episodes, setting.played) == ("finn17", 2, 4)
    assert setting.steps == 20_000_000


def test_three_seeds_that_were_not_tuned_on():
    assert Options().seeds == (11, 12, 13)

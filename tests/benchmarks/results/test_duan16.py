"""The settings of Duan et al. (2016)."""

from benchmarks.results.duan16 import SETTINGS
from metarl.families.registry import load_family


def test_every_setting_is_about_the_family_of_its_preset():
    for setting in SETTINGS.values():
        config = setting.rl2
        assert (config.family, config.variant or None) == (setting.suite.family, setting.suite.variant)


def test_horizons_and_arms_are_those_of_the_names():
    for pulls, arms in ((10, 5), (10, 10), (100, 5)):
        setting = SETTINGS[f"bandit-n{pulls}-k{arms}"]
        family = load_family(setting.rl2.family, setting.rl2.variant)
        assert (setting.episodes * family.horizon, family.action_space.n) == (pulls, arms)
    for episodes in (10, 25):
        assert SETTINGS[f"mdp-n{episodes}"].episodes == episodes

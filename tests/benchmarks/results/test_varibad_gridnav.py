"""The setting of grid navigation in VariBAD."""

from benchmarks.results.varibad_gridnav import SETTINGS, Options
from metarl.families.registry import load_family


def test_the_trial_is_that_of_varibad():
    """Four episodes of 15 steps, and at most the 20M environment steps of the authors."""
    setting = SETTINGS["trial-of-4"]
    assert (setting.rl2.family, setting.rl2.variant) == (setting.suite.family, setting.suite.variant)
    assert setting.episodes == 4
    assert load_family("grid-navigation", "varibad").horizon == 15
    assert setting.steps <= 20_000_000


def test_five_seeds_that_were_not_tuned_on():
    assert Options().seeds == (11, 12, 13, 14, 15)

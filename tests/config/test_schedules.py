"""Schedules of learning rates by hand, in files of earlier versions, and over a run that is resumed."""

import math
from dataclasses import replace

import pytest

import metarl
from metarl.config.algorithms import AdamConfig, MamlConfig
from metarl.config.run import InnerConfig, at_iteration, has_schedule
from metarl.config.schedules import ScheduleOptions, changes_until, rate_factor
from metarl.config.toml import from_mapping
from metarl.core.errors import ConfigError
from tests.helpers.callbacks import same_files, train


def factors(total=4, **options):
    return [rate_factor(ScheduleOptions(**options), k, total) for k in range(total)]


def test_shapes_by_hand():
    assert factors(schedule="constant") == [1, 1, 1, 1]
    assert factors(schedule="linear") == [1, 0.75, 0.5, 0.25]
    assert factors(schedule="linear", end_factor=0.5) == [1, 0.875, 0.75, 0.625]
    assert factors(schedule="cosine") == pytest.approx([1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2])
    assert factors(schedule="exponential", end_factor=1 / 16) == pytest.approx([1, 0.5, 0.25, 0.125])
    assert factors(6, schedule="step", end_factor=0.25) == pytest.approx([1, 1, 0.5, 0.5, 0.25, 0.25])
    assert factors(schedule="linear", warm_up=1) == pytest.approx([0.5, 1, 2 / 3, 1 / 3])
    assert factors(schedule="constant", warm_up=3) == [0.25, 0.5, 0.75, 1]


def test_past_the_end_the_last_value_stays():
    options = ScheduleOptions("linear")
    assert rate_factor(options, 9, 4) == rate_factor(options, 3, 4)
    assert changes_until(options, 4)
    assert not changes_until(ScheduleOptions(warm_up=2), 4)
    assert changes_until(ScheduleOptions(warm_up=4), 4)


def test_inner_rates_of_an_iteration():
    config = MamlConfig(iterations=4, inner=InnerConfig(lr=0.4, later_lr=0.2, schedule="linear"))
    now = at_iteration(config, 3).inner
    assert (now.lr, now.later_lr) == pytest.approx((0.2, 0.1))
    assert at_iteration(MamlConfig(), 3) is not None
    assert has_schedule(replace(config, adam=AdamConfig(schedule="constant")))


def test_files_of_earlier_versions_say_decay():
    assert from_mapping(AdamConfig(), {"decay": "none"}, "old.toml").schedule == "constant"
    assert from_mapping(AdamConfig(schedule="cosine"), {"decay": "linear"}, "old.toml").schedule == "linear"
    with pytest.raises(ConfigError, match=r"old\.toml: decay, now schedule, = 'sometimes'; expected one of"):
        from_mapping(AdamConfig(), {"decay": "sometimes"}, "old.toml")


def test_a_resumed_run_has_the_rates_of_an_uninterrupted_one(tmp_path):
    """And the inner rate has an effect: a constant one gives another run."""
    options = {"inner": {"schedule": "cosine", "warm_up": 1}, "adam": {"schedule": "exponential"}}
    whole = train(tmp_path / "whole", **options)

    class Stop(metarl.Callback):
        def on_iteration(self, run):
            if run.iteration == 2:
                run.stop("half")

    part = train(tmp_path / "part", callbacks=[Stop()], **options)
    metarl.resume(part, iterations=4)
    assert same_files(part, whole)
    assert not same_files(whole, train(tmp_path / "other", adam=options["adam"]))


def test_what_a_schedule_cannot_do_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"inner\.learned_lr.* = per-parameter; expected none"):
        train(tmp_path / "run", inner={"schedule": "linear", "learned_lr": "per-parameter"})
    with pytest.raises(ConfigError, match="end_factor"):
        train(tmp_path / "run", adam={"schedule": "step", "end_factor": 0.0})

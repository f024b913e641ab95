"""Scores of checkpoints: a function of theta, seed and iteration alone."""

from dataclasses import replace

import pytest

from metarl.config.algorithms import MamlConfig
from metarl.config.run import EarlyStopConfig, InnerConfig
from metarl.core.errors import ConfigError
from metarl.training.assembly import assemble
from metarl.training.validation import Validation

CONFIG = MamlConfig(
    meta_batch_size=2, episodes=2, iterations=4, validation_tasks=3, inner=InnerConfig(lr=0.5, schedule="linear")
)


def test_the_score_is_the_last_point_and_follows_the_inner_schedule():
    with assemble("maml", CONFIG) as parts:
        theta = parts.initial_theta()
        validation = Validation(parts)
        first, again, later = (validation.measure(theta, number) for number in (1, 1, 4))
        validation.close()
    assert first == again
    assert first["score"] == first["return"][-1]
    assert first["tasks"] == 3
    assert len(first["return"]) == 2
    # Before adaptation the rate has no effect; after it a quarter of the rate has another.
    assert first["return"][0] == later["return"][0]
    assert first["return"][1] != later["return"][1]


def test_without_tasks_there_is_no_score_and_no_early_stopping():
    with assemble("maml", replace(CONFIG, validation_tasks=0)) as parts:
        validation = Validation(parts)
        assert not validation.possible
        assert validation.measure(parts.initial_theta(), 1) is None
    with assemble("maml", CONFIG) as parts:
        hopeless = replace(parts, config=replace(CONFIG, validation_tasks=0, early_stop=EarlyStopConfig(patience=2)))
        with pytest.raises(ConfigError, match=r"--early-stop\.patience = 2; expected 0: .* has no meta-validation"):
            Validation(hopeless)

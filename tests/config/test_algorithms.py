from dataclasses import fields

import pytest

from metarl.config.algorithms import (
    AdamConfig,
    MamlConfig,
    MamlOptions,
    PretrainConfig,
    PretrainOptions,
    PrompConfig,
    ReptileConfig,
    ReptileOptions,
)
from metarl.config.registry import ALGORITHMS
from metarl.config.run import has_schedule


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (MamlConfig(), True),
        (MamlConfig(adam=AdamConfig(schedule="constant")), False),
        (PrompConfig(), False),
        (ReptileConfig(outer="plain"), True),
        (PretrainConfig(outer="trpo"), False),
        (PretrainConfig(), True),
    ],
)
def test_a_schedule_is_there_where_adams_rate_falls(config, expected):
    assert has_schedule(config) == expected


def test_defaults_that_differ_from_the_shared_ones_are_the_papers():
    """ProMP: a constant rate of 1e-3, five epochs, a clip of 0.3 (Rothfuss et al. 2019, appendix); Reptile: 3 steps."""
    promp = PrompConfig()
    assert (promp.adam.lr, promp.adam.schedule, promp.epochs, promp.clip) == (1e-3, "constant", 5, 0.3)
    assert ReptileConfig().inner.steps == 3
    assert MamlConfig().inner.steps == 1


def test_what_an_outer_update_reads_is_apart_from_what_is_learned():
    """Few-shot benchmarks have configurations of their own with the same options."""
    for config, options in (
        (MamlConfig, MamlOptions),
        (ReptileConfig, ReptileOptions),
        (PretrainConfig, PretrainOptions),
    ):
        assert issubclass(config, options)
        assert {entry.name for entry in fields(options)} <= {entry.name for entry in fields(config)}
    assert PretrainOptions().outer == "adam"
    assert {algorithm.config for algorithm in ALGORITHMS.values()} >= {MamlConfig, PrompConfig, ReptileConfig}

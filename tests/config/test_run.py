from dataclasses import replace

import pytest

from metarl.config.algorithms import MamlTrpoConfig
from metarl.config.run import (
    InnerConfig,
    PolicyConfig,
    RunConfig,
    TrainConfig,
    context_misfits,
    fields_of,
    option_name,
)


def test_nested_options_are_listed_under_dotted_names():
    names = fields_of(MamlTrpoConfig)
    assert names["inner.lr"] is float
    assert names["policy.hidden_sizes"] == tuple[int, ...]
    assert names["trust_region.max_kl"] is float
    assert "inner" not in names
    assert option_name("trust_region.max_kl") == "--trust-region.max-kl"


def test_what_is_no_option_has_a_value_all_the_same():
    """A supervised loss has an exact gradient, and only policies are kept in files that others write."""
    config = RunConfig()
    assert (config.inner.estimator, config.initialise_from) == ("exact", None)
    assert {"inner.estimator", "initialise_from"}.isdisjoint(fields_of(RunConfig))
    assert {"inner.estimator", "initialise_from"} <= fields_of(TrainConfig).keys()


@pytest.mark.parametrize(
    ("adapt", "context", "option"),
    [("context", 0, "inner.adapt"), ("all", 2, "policy.context"), ("context", 2, None), ("head", 0, None)],
)
def test_context_parameters_and_their_adaptation_come_together(adapt, context, option):
    found = list(context_misfits(InnerConfig(adapt=adapt), PolicyConfig(context=context), "policy"))
    assert [name for name, _ in found] == ([] if option is None else [option])


def test_the_initial_deviation_lies_within_its_bounds():
    config = TrainConfig()
    assert list(config.conflicts()) == []
    low = replace(config, policy=PolicyConfig(initial_log_std=-20.0))
    assert list(low.conflicts()) == [("policy.initial_log_std", "a number from -13.8 to 4, the bounds of the policy")]
    assert (config.task_name(), config.learner()) == (("navigation2d", None), None)

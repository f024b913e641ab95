"""What a command line gives, before it is parsed."""

import pytest

from metarl.config.run import TrainConfig
from metarl.core.errors import FamilyError
from metarl.given_options import default_of, named_family, value_given


def test_the_last_spelling_of_an_option_counts():
    assert value_given(["--a-b", "1", "--a_b=2"], "--a-b") == "2"
    assert value_given(["--a-b"], "--a-b") is None


def test_defaults_are_those_of_the_preset_of_family_and_variant():
    config, origin = default_of("maml-trpo", ["--family", "navigation2d"], False)
    assert (config.variant, config.inner.lr, origin) == ("finn17", 0.5, "the preset finn17-navigation2d")
    assert default_of("maml", ["--config", "maml-rover-direction", "--family", "ant-dir"], False)[0].variant is None


def test_a_configuration_names_the_variant_that_applies():
    assert named_family(TrainConfig(family="navigation2d")).variant == "finn17"
    with pytest.raises(FamilyError, match="unknown variant 'wid'"):
        named_family(TrainConfig(family="navigation2d", variant="wid"))

"""Published experiments: each names a preset that exists, and is measured at as many points as were published."""

import pytest

from metarl.config.protocols import find_protocol, protocol_files
from metarl.config.toml import load_preset
from metarl.core.errors import ConfigError


@pytest.mark.parametrize("name", protocol_files())
def test_every_experiment_is_whole(name):
    protocol = find_protocol(name)
    assert protocol.config.iterations == load_preset(protocol.algorithm, protocol.preset)[0].iterations
    assert protocol.config.validation_tasks == 0
    points = protocol.evaluation.steps + 1
    assert all(1 <= len(values) <= (1 if protocol.measure == "trial" else points) for values in protocol.rows.values())
    if protocol.measure == "trial":
        assert points == protocol.config.inner.steps + 1
    assert all(sentence.endswith(".") for sentence in protocol.differs)


def test_figures_of_the_papers():
    """Finn et al. (2017), the file of results behind figure 4; Duan et al. (2016), table 2."""
    assert find_protocol("finn17-navigation2d").rows["MAML"] == [-40.41, -11.68, -3.33, -3.23, -3.35]
    assert find_protocol("finn17-cheetah-vel").rows["MAML"][1] == -78.6
    assert find_protocol("duan16-mdp-n25").rows["RL2, paper"] == [445.7]


def test_an_unknown_name():
    with pytest.raises(ConfigError, match=r"unknown published experiment 'finn17-navigation'.*'finn17-navigation2d'"):
        find_protocol("finn17-navigation")

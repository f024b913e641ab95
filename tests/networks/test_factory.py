import sys

import pytest
from gymnasium import spaces
from torch import nn

from metarl.core.errors import ConfigError
from metarl.networks.factory import chosen_network, file_of_network, load_factory, network_name
from tests.helpers import networks

FLAT = spaces.Box(-1, 1, (3,))


def test_functions_and_classes_of_modules_are_factories():
    assert load_factory("tests.helpers.networks:two_layers") is networks.two_layers
    assert load_factory("tests.helpers.networks:Scaled") is networks.Scaled
    assert file_of_network("tests.helpers.networks:Scaled") == networks.__file__
    assert file_of_network("mlp") is None
    assert file_of_network(None) is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mpl", "expected .*mlp.* or your own as module:factory.*; did you mean 'mlp'"),
        ("tests.helpers.networks:two_layer", "has no 'two_layer'.*did you mean 'two_layers'"),
        ("no_such_module:net", "no module 'no_such_module'"),
        ("os:system", "expected a function of os that returns a torch.nn.Module"),
        ("tests.networks.test_factory:nn", "got module"),
        ("tests.networks.test_factory:load_factory", "expected a function of tests.networks.test_factory"),
    ],
)
def test_what_is_no_factory_is_named(name, message):
    with pytest.raises(ConfigError, match=f"--policy.network = {name}.*{message}"):
        load_factory(name)


def test_a_file_becomes_a_module(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "nets_of_a_file.py").write_text(
        "from torch import nn\ndef small(space, outputs):\n    return nn.Linear(3, outputs)\n"
    )
    name = network_name(f"{tmp_path}/nets_of_a_file.py:small")
    assert name == "nets_of_a_file:small"
    assert isinstance(load_factory(name)(FLAT, 2), nn.Linear)
    with pytest.raises(ConfigError, match="there is no file"):
        network_name("./nothing.py:small")
    assert network_name(None) is None
    assert network_name("mlp") == "mlp"


def test_the_default_reads_vectors_by_a_perceptron():
    assert chosen_network(None, FLAT) == "mlp"
    assert chosen_network("nets:small", FLAT) == "nets:small"

import pytest
import torch

from metarl.adaptation.gradient import AdamDescent, GradientDescent
from metarl.adaptation.parameters import as_trained, fitting, initial_theta
from metarl.core.errors import RunError
from metarl.core.prng import Key
from metarl.rl.networks import StackedMLP

NETWORK = StackedMLP(2, 1, (3,), "tanh")


def test_an_initialisation_is_the_seeds_own_and_has_what_the_adapter_keeps():
    adapter = GradientDescent(0.25, pattern="head.*", learned_lr="per-layer")
    theta = initial_theta(adapter, NETWORK, 7, torch.device("cpu"), torch.float32)
    drawn = NETWORK.initialise(Key.from_seed(7).at("initialisation"))
    assert theta.keys() - drawn.keys() == {"inner_lr.head.weight", "inner_lr.head.bias"}
    assert all(torch.equal(theta[name], value.float()) for name, value in drawn.items())
    assert {value.dtype for value in theta.values()} == {torch.float32}
    assert float(theta["inner_lr.head.bias"]) == 0.25
    other = initial_theta(adapter, NETWORK, 8, torch.device("cpu"), torch.float32)
    assert not torch.equal(other["head.weight"], theta["head.weight"])


def test_loaded_parameters_come_in_the_models_own_order():
    adapter = AdamDescent(0.1)
    theta = initial_theta(adapter, NETWORK, 1, torch.device("cpu"), torch.float64)
    loaded = dict(sorted(theta.items(), reverse=True))
    assert list(loaded) != list(theta)
    found = as_trained(adapter, NETWORK, loaded, "there")
    assert list(found) == list(theta)
    assert all(found[name] is loaded[name] for name in found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"head.bias": None}, r"^there: parameters \['head\.bias'\] do not fit the model$"),
        ({"tail": torch.zeros(1)}, r"^there: parameters \['tail'\] do not fit the model$"),
        ({"head.bias": torch.zeros(2)}, r"^there: head\.bias has shape \(2,\); the model has \(1,\)$"),
        ({"head.bias": torch.tensor([float("inf")])}, r"^there: head\.bias holds values that are not finite$"),
    ],
)
def test_parameters_of_another_model_are_refused(change, message):
    theta = NETWORK.initialise(Key(1)) | change
    loaded = {name: value for name, value in theta.items() if value is not None}
    with pytest.raises(RunError, match=message):
        as_trained(GradientDescent(0.1), NETWORK, loaded, "there")


def test_a_state_fits_where_every_tensor_does():
    expected = {"theta": {"x": torch.zeros(2)}, "optimiser": {"steps": torch.tensor(0)}}
    loaded = {"optimiser": {"steps": torch.tensor(5)}, "theta": {"x": torch.ones(2)}, "more": {"y": torch.ones(1)}}
    found = fitting(loaded, expected, "there")
    assert list(found) == ["theta", "optimiser"]
    assert (found["theta"]["x"].tolist(), int(found["optimiser"]["steps"])) == ([1, 1], 5)
    for bad in ({}, {"steps": torch.tensor(5.0)}, {"steps": torch.tensor([5])}):
        with pytest.raises(RunError, match=r"there: its checkpoint has no optimiser steps of shape \(\)"):
            fitting(loaded | {"optimiser": bad}, expected, "there")
    with pytest.raises(RunError, match="theta x holds values that are not finite"):
        fitting(loaded | {"theta": {"x": torch.tensor([1.0, float("nan")])}}, expected, "there")


def test_an_axis_of_no_length_fits_any_length():
    """Statistics that grow with the longest trial begin empty."""
    expected = {"returns": {"sums": torch.zeros(0, 2)}}
    assert fitting({"returns": {"sums": torch.ones(7, 2)}}, expected, "there")["returns"]["sums"].shape == (7, 2)
    for shape in ((7, 3), (7,)):
        with pytest.raises(RunError, match="there: its checkpoint has no returns sums"):
            fitting({"returns": {"sums": torch.ones(shape)}}, expected, "there")

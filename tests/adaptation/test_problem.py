"""Whether what implements a contract has its methods, with the same parameters in the same order."""

import inspect

import pytest
import torch

from benchmarks.fewshot.supervised import Supervised
from metarl.adaptation.problem import ClippedProblem, Collected, Distribution, Problem, SampledProblem
from metarl.rl.distributions import Categorical, Gaussian
from metarl.rl.problem import ReinforcementLearning
from metarl.sb3.model_setup import ModelProblem
from metarl.sb3.setup import Sb3Problem
from tests.helpers.contracts import methods_of


@pytest.mark.parametrize(
    ("contract", "implementation"),
    [
        (ClippedProblem, ReinforcementLearning),
        (SampledProblem, ReinforcementLearning),
        (Problem, Supervised),
        (Problem, Sb3Problem),
        (Problem, ModelProblem),
    ],
    ids=lambda kind: kind.__name__,
)
def test_an_implementation_keeps_its_contract(contract, implementation):
    for name, method in methods_of(contract).items():
        expected = list(inspect.signature(method).parameters)
        found = list(inspect.signature(getattr(implementation, name)).parameters)
        assert found[: len(expected)] == expected, f"{implementation.__name__}.{name}"


@pytest.mark.parametrize("kind", [Gaussian, Categorical])
def test_a_distribution_of_actions_keeps_its_contract(kind):
    for name, method in methods_of(Distribution).items():
        assert len(inspect.signature(getattr(kind, name)).parameters) == len(inspect.signature(method).parameters), name


def test_the_contracts_ask_for_more_from_one_to_the_next():
    names = [set(methods_of(contract)) for contract in (Problem, SampledProblem, ClippedProblem)]
    assert names[0] == {"collect", "inner_loss", "outer_loss"}
    assert names[1] - names[0] == {"log_likelihood"}
    assert names[2] - names[0] == {"distribution", "loss_of", "divergence", "of_tasks", "clipped_loss"}


def test_what_a_problem_does_not_know_it_leaves_out():
    found = Collected("data", torch.zeros(2), torch.tensor([3, 4]), torch.zeros(2))
    assert (found.success, found.observed, found.memory) == (None, None, None)

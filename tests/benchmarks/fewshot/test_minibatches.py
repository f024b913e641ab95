"""Minibatches of support examples go through all of them pass by pass, as in Reptile's code."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from benchmarks.fewshot.supervised import Examples, Supervised, negative_squared_error, squared_error
from metarl.adaptation.adapter import stack
from metarl.adaptation.collect import collect_adaptation
from metarl.adaptation.curve import adaptation_curve
from metarl.adaptation.gradient import GradientDescent
from metarl.core.prng import Key
from metarl.core.seed_axis import use_seed_axis
from metarl.core.timing import Phases
from metarl.rl.networks import StackedMLP


def numbered(tasks, support):
    """Support examples whose input is their number."""
    inputs = torch.arange(support, dtype=torch.float64).reshape(1, -1, 1).expand(tasks, -1, -1)
    query = torch.zeros(tasks, 1, 1, dtype=torch.float64)
    return Examples(inputs, inputs, query, query)


def minibatches(tasks, support, minibatch):
    network = StackedMLP(1, 1, (), "tanh")
    draw = lambda of: numbered(len(of["draw"]), support)  # noqa: E731
    problem = Supervised(network, draw, squared_error, negative_squared_error, minibatch=minibatch)
    return problem, network.initialise(Key.from_seed(1)), {"draw": np.arange(tasks)}


def passes(shown, support):
    """The numbers (tasks, passes, support) that were shown, pass by pass."""
    numbers = torch.cat([data.support_inputs for data in shown], 1).squeeze(2).long()
    return numbers[:, : numbers.shape[1] // support * support].unflatten(1, (-1, support))


@pytest.mark.parametrize(("support", "minibatch", "steps"), [(50, 10, 10), (20, 8, 5), (7, 3, 7)])
def test_minibatches_go_through_all_examples_pass_by_pass(support, minibatch, steps):
    """As in Reptile, whose five steps of 10 show each of 50 images once; a minibatch may lie across two passes."""
    problem, theta, tasks = minibatches(3, support, minibatch)
    found = collect_adaptation(
        problem, theta, tasks, Key(7), GradientDescent(1e-4), steps, Phases(), query=False
    ).supports
    assert {data.support_targets.shape[1] for data in found} == {minibatch}
    orders = passes(found, support)
    assert orders.shape[1] >= 2
    assert torch.equal(orders.sort(2).values, torch.arange(support).expand(orders.shape))
    different = {tuple(order) for of_task in orders.tolist() for order in of_task}
    assert len(different) == orders.shape[0] * orders.shape[1]


def test_a_measured_curve_goes_through_all_examples(monkeypatch):
    problem, theta, tasks = minibatches(60, 50, 10)
    shown = {}
    collect = problem.collect

    def seen(params, of, key, memory):
        found = collect(params, of, key, memory)
        shown.setdefault(len(of["draw"]), []).append(found.data)
        return found

    monkeypatch.setattr(problem, "collect", seen)
    adaptation_curve(problem, theta, tasks, Key(7), GradientDescent(1e-4), 5)
    for block in shown.values():
        orders = passes(block[:5], 50)
        assert torch.equal(orders.sort(2).values, torch.arange(50).expand(orders.shape))


def test_a_minibatch_is_a_function_of_key_and_step_alone():
    problem, theta, tasks = minibatches(4, 20, 8)
    params, key = stack(theta, 4), Key(7).at("iteration", 3)

    def numbers(at, of=tasks, where=params):
        return problem.collect(where, of, at).data.support_inputs

    forwards = [numbers(key.at_step(step)) for step in range(6)]
    backwards = [numbers(key.at_step(step)) for step in reversed(range(6))][::-1]
    assert all(torch.equal(a, b) for a, b in zip(forwards, backwards, strict=True))
    assert not any(torch.equal(a, b) for a, b in pairwise(forwards))
    part = numbers(key.from_task(2).at_step(4), {"draw": np.arange(2, 4)}, stack(theta, 2))
    assert torch.equal(part, forwards[4][2:])
    eight = stack(theta, 8)
    with use_seed_axis(2):
        beside = Key(7, co_seeds=(Key(8),)).at("iteration", 3).at_step(4)
        both = numbers(beside, {"draw": np.arange(8)}, eight)
    assert torch.equal(both[:4], forwards[4])
    assert torch.equal(both[4:], numbers(Key(8).at("iteration", 3).at_step(4)))


def test_the_key_of_a_step_is_the_key_at_its_number():
    key = Key(7, first_task=2, co_seeds=(Key(8, first_task=2),)).at("iteration")
    assert key.at_step(3) == key.at(3)
    assert torch.equal(key.at_step(3).env_seeds(4, 5), key.at(3).env_seeds(4, 5))

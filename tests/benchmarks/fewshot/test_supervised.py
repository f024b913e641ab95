"""Supervised tasks as a problem: losses and scores by hand, the meta-gradient in closed form, what each method sees."""

import numpy as np
import pytest
import torch

from benchmarks.fewshot.conv4 import Conv4
from benchmarks.fewshot.supervised import (
    Examples,
    Pooled,
    Prototypes,
    Supervised,
    accuracy,
    cross_entropy,
    negative_squared_error,
    relabelled,
    squared_error,
)
from metarl.adaptation.adapter import replay, stack
from metarl.adaptation.curve import adaptation_curve
from metarl.adaptation.gradient import GradientDescent
from metarl.algorithms.meta_gradient import value_and_grad
from metarl.core.collectives import mean_over_tasks
from metarl.core.prng import Key
from metarl.rl.networks import StackedMLP

TASKS = {"draw": np.arange(3)}


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def regression(tasks=3, support=4, query=5):
    return Examples(drawn(tasks, support, 2), drawn(tasks, support, 1, seed=1), drawn(tasks, query, 2, seed=2),
                    drawn(tasks, query, 1, seed=3))  # fmt: skip


def test_losses_and_scores_by_hand():
    outputs = torch.tensor([[[1.0], [3.0]], [[0.0], [0.0]]])
    targets = torch.tensor([[[0.0], [1.0]], [[2.0], [0.0]]])
    assert squared_error(outputs, targets).tolist() == [2.5, 2.0]
    assert negative_squared_error(outputs, targets).tolist() == [-2.5, -2.0]
    logits = torch.tensor([[[2.0, 0.0], [0.0, 1.0]]])
    labels = torch.tensor([[0, 0]])
    assert accuracy(logits, labels).tolist() == [0.5]
    assert cross_entropy(logits, labels).item() == pytest.approx((np.log(1 + np.exp(-2)) + np.log(1 + np.e)) / 2)


def test_the_meta_gradient_of_linear_regression_in_closed_form():
    """One step on w has the Jacobian I - lr 2 X^T X / n, X with a column of ones for the bias."""
    data, lr = regression(), 0.1
    network = StackedMLP(2, 1, (), "relu")
    problem = Supervised(network, lambda tasks: data, squared_error, negative_squared_error)
    theta = network.initialise(Key.from_seed(1))
    supports = [problem.collect(stack(theta, 3), TASKS, Key(0)).data]

    def objective(at):
        return mean_over_tasks(
            problem.outer_loss(replay(problem.inner_loss, at, supports, GradientDescent(lr), 3), data)
        )

    _, gradient = value_and_grad(objective, theta)
    w = torch.cat([theta["head.weight"][0], theta["head.bias"]])
    expected = torch.zeros(3, dtype=torch.float64)
    for i in range(3):
        x, q = (torch.cat([part[i], torch.ones(len(part[i]), 1)], 1) for part in (data[0], data[2]))
        y, z = data[1][i, :, 0], data[3][i, :, 0]
        adapted = w - lr * 2 / 4 * x.T @ (x @ w - y)
        expected += (torch.eye(3) - lr * 2 / 4 * x.T @ x) @ (2 / 5 * q.T @ (q @ adapted - z)) / 3
    torch.testing.assert_close(torch.cat([gradient["head.weight"][0], gradient["head.bias"]]), expected)


def test_examples_are_those_of_the_task_at_every_step():
    asked = []

    def draw(tasks):
        asked.append(tasks)
        return regression()

    network = StackedMLP(2, 1, (4,), "tanh")
    problem = Supervised(network, draw, squared_error, negative_squared_error)
    params = stack(network.initialise(Key.from_seed(1)), 3)
    first, second = (problem.collect(params, TASKS, Key(i)) for i in range(2))
    assert len(asked) == 1
    assert all(torch.equal(a, b) for a, b in zip(first.data, second.data, strict=True))
    assert first.transitions.tolist() == [4, 4, 4]
    torch.testing.assert_close(first.performance, -problem.outer_loss(params, first.data))
    torch.testing.assert_close(first.objective, first.performance)
    problem.collect(params, dict(TASKS), Key(0))
    assert len(asked) == 2


def test_a_minibatch_is_drawn_by_the_step_without_repetition():
    data = regression(support=10)
    network = StackedMLP(2, 1, (), "tanh")
    problem = Supervised(network, lambda tasks: data, squared_error, negative_squared_error, minibatch=4)
    params = stack(network.initialise(Key.from_seed(1)), 3)
    parts = [problem.collect(params, TASKS, Key(7).at(step)).data for step in range(30)]
    seen = [set() for _ in range(3)]
    for part in parts:
        assert part.support_inputs.shape == (3, 4, 2)
        for task in range(3):
            same = (part.support_inputs[task][:, None] == data.support_inputs[task]).all(-1)
            rows = same.nonzero()
            assert rows[:, 0].tolist() == [0, 1, 2, 3]
            assert len(set(rows[:, 1].tolist())) == 4
            assert torch.equal(part.support_targets[task], data.support_targets[task][rows[:, 1]])
            seen[task].add(tuple(rows[:, 1].tolist()))
    assert all(len(drawn_rows) > 20 for drawn_rows in seen)
    again = problem.collect(params, TASKS, Key(7).at(3)).data
    assert torch.equal(again.support_inputs, parts[3].support_inputs)


@pytest.mark.parametrize("tasks_at_once", [1, 7, 50, 80])
def test_a_curve_does_not_depend_on_how_many_tasks_are_adapted_at_once(tasks_at_once):
    """Sixty tasks, more than the fifty that have positions of random numbers in common; minibatches are drawn."""
    data, asked = regression(tasks=60, support=10), []
    network = StackedMLP(2, 1, (), "tanh")

    def draw(tasks):
        asked.append(len(tasks["draw"]))
        return Examples(*(part[tasks["draw"]] for part in data))

    def curve(**limit):
        problem = Supervised(network, draw, squared_error, negative_squared_error, minibatch=4, **limit)
        theta = network.initialise(Key.from_seed(1))
        return adaptation_curve(problem, theta, {"draw": np.arange(60)}, Key(3), GradientDescent(0.1), 2)

    expected = curve()
    assert asked == [50, 10]
    asked.clear()
    found = curve(tasks_at_once=tasks_at_once)
    torch.testing.assert_close(found.per_task, expected.per_task, rtol=1e-12, atol=0)
    assert found.transitions == expected.transitions == [0, 4, 8]
    assert max(asked) == min(tasks_at_once, 50)
    assert sum(asked) == 60


def images(tasks=2, support=3, query=4):
    labels = torch.arange(3)
    return Examples(drawn(tasks, support, 1, 16, 16), labels.expand(tasks, -1),
                    drawn(tasks, query, 1, 16, 16, seed=1), torch.tensor([0, 1, 2, 0]).expand(tasks, -1))  # fmt: skip


def test_without_transduction_query_images_do_not_see_each_other():
    data = images()
    network = Conv4(1, 3, size=16, filters=4)
    params = stack(network.initialise(Key.from_seed(1)), 2)
    changed = data._replace(query_inputs=data.query_inputs.clone())
    changed.query_inputs[:, 0] += 1

    def outputs(problem, part):
        return problem.query_outputs(params, part)

    def problem(transductive):
        return Supervised(network, lambda tasks: data, cross_entropy, accuracy, transductive=transductive)

    alone = problem(False)
    torch.testing.assert_close(outputs(alone, data)[:, 1:], outputs(alone, changed)[:, 1:])
    together = problem(True)
    assert (outputs(together, data)[:, 1:] - outputs(together, changed)[:, 1:]).abs().max() > 1e-3
    one = network(params, torch.cat([data.support_inputs, data.query_inputs[:, 2:3]], 1))[:, -1]
    torch.testing.assert_close(outputs(alone, data)[:, 2], one)


def test_pooled_tasks_have_the_gradient_of_stacked_ones():
    data = images()
    network = Conv4(1, 3, size=16, filters=4)
    theta = network.initialise(Key.from_seed(1))
    found = []
    for kind in (Supervised, Pooled):
        problem = kind(network, lambda tasks: data, cross_entropy, accuracy)
        found.append(value_and_grad(lambda at, p=problem: mean_over_tasks(p.outer_loss(stack(at, 2), data)), theta))
    torch.testing.assert_close(*(value for value, _ in found))
    for name in theta:
        torch.testing.assert_close(found[0][1][name], found[1][1][name])


def test_prototypes_are_class_means():
    data = Examples(
        torch.tensor([[[0.0, 0.0], [2.0, 0.0], [5.0, 5.0], [5.0, 7.0]]]),
        torch.tensor([[0, 0, 1, 1]]),
        torch.tensor([[[1.0, 1.0], [5.0, 6.0]]]),
        torch.tensor([[0, 0]]),
    )
    problem = Prototypes(lambda params, inputs, batches: inputs, lambda tasks: data, cross_entropy, accuracy)
    logits = problem.query_outputs({"x": torch.zeros(1)}, data)
    torch.testing.assert_close(logits, -torch.tensor([[[1.0, 41.0], [52.0, 0.0]]]))
    assert problem.collect({"x": torch.zeros(1)}, TASKS, Key(0)).performance.tolist() == [0.5]


def test_labels_among_all_classes():
    data = images(tasks=2)
    draw = relabelled(lambda tasks: data, lambda tasks: np.array([[7, 3, 9], [1, 2, 0]]))
    assert draw(TASKS).support_targets.tolist() == [[7, 3, 9], [1, 2, 0]]
    assert draw(TASKS).query_targets.tolist() == [[7, 3, 9, 7], [1, 2, 0, 1]]

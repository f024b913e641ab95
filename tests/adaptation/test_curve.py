from dataclasses import replace

import numpy as np
import torch

from metarl.adaptation.curve import adaptation_curve
from metarl.adaptation.gradient import GradientDescent
from metarl.adaptation.problem import Collected
from metarl.core.errors import Divergence
from metarl.core.prng import Key
from metarl.rl.setup import build_problem


class Quadratics:
    """A supervised problem: x^2 / 2 around each task's own centre. Shows that a curve needs nothing of RL."""

    def collect(self, params, tasks, key, memory=None):
        centre = torch.as_tensor(tasks["centre"])
        score = -self.inner_loss(params, centre)
        return Collected(centre, score, torch.full((len(centre),), 5), score)

    def inner_loss(self, params, data):
        return 0.5 * (params["x"] - data) ** 2

    outer_loss = inner_loss


def test_curve_of_a_problem_in_closed_form():
    """Gradient descent at rate r shrinks the distance by 1 - r a step; 120 tasks make three blocks."""
    centre = np.linspace(-3, 3, 120)
    curve = adaptation_curve(
        Quadratics(),
        {"x": torch.tensor(0.0, dtype=torch.float64)},
        {"centre": centre},
        Key(0),
        GradientDescent(0.5, 0.25),
        3,
    )
    for step, factor in enumerate([1, 0.5, 0.375, 0.28125]):
        np.testing.assert_allclose(curve.per_task[:, step], -0.5 * (centre * factor) ** 2)
    assert curve.transitions == [0, 5, 10, 15]


class Explosive(Quadratics):
    """Task 1 diverges when it has moved."""

    def collect(self, params, tasks, key, memory=None):
        if abs(float(params["x"][1])) > 0:
            raise Divergence("task 1", task=1)
        return super().collect(params, tasks, key)


def test_only_the_task_that_diverged_is_lost():
    centre = np.array([1.0, 2.0, 3.0])
    theta = {"x": torch.tensor(0.0, dtype=torch.float64)}
    curve = adaptation_curve(Explosive(), theta, {"centre": centre}, Key(0), GradientDescent(0.5), 1)
    np.testing.assert_allclose(curve.per_task[:, 1], [-0.125, np.nan, -1.125])


def test_a_task_evaluated_among_others_is_that_task_alone(family, policy, theta, tiny_config):
    """In float64, the first of many tasks has the curve that it has on its own."""
    config = replace(tiny_config, dtype="float64")
    tasks = family.sample_tasks(6, "meta-test", np.random.default_rng(0))
    curves = []
    for part in (tasks, {"goal": tasks["goal"][:1]}):
        problem = build_problem(config, family, policy)
        curves.append(adaptation_curve(problem, theta, part, Key(1), GradientDescent(0.3), 2).per_task)
    np.testing.assert_allclose(curves[0][:1], curves[1], rtol=1e-9)

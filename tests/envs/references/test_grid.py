"""Grid search against its closed form, the family itself, enumerations and figures that were published."""

import itertools

import numpy as np
import pytest
import torch

from metarl.families.analytic_env import AnalyticVecEnv
from metarl_envs.gridworld import GOALS, GridNavigation
from metarl_envs.references.grid import (
    known_goal,
    optimal_search,
    optimal_values,
    sampled_goals,
    search_actions,
    uniform_moves,
)

TASKS = {"goal": np.array(GOALS)}
HORIZON = 15


def test_the_closed_form():
    """(105 - 10.5) / 21 - 0.5, and 11.0714 for ever after."""
    found = optimal_values(TASKS["goal"], 4, HORIZON)
    np.testing.assert_allclose(found, [4.0, *[11.071429] * 3], atol=1e-6)
    assert found.sum() == pytest.approx(37.2143, abs=1e-4)


def test_the_search_attains_it():
    found = optimal_search(TASKS, 4, 1, None, horizon=HORIZON)
    np.testing.assert_allclose(found.mean(0), optimal_values(TASKS["goal"], 4, HORIZON))
    np.testing.assert_allclose(found[:, 1:], known_goal(TASKS, 3, 1, None, horizon=HORIZON))


def test_the_search_gets_in_the_family_what_it_says():
    """The actions in the family's own dynamics; until a goal is found they are those for any other goal not found."""
    actions = search_actions(TASKS["goal"], 3, HORIZON)
    envs = AnalyticVecEnv(GridNavigation(), TASKS, 1)
    found, unknown = np.zeros((len(GOALS), 3)), np.ones(len(GOALS), bool)
    for episode in range(3):
        envs.reset(torch.zeros(len(GOALS), 1, dtype=torch.int64))
        for time in range(HORIZON):
            assert len(set(actions[unknown, episode, time])) <= 1
            _, reward, _ = envs.step(torch.as_tensor(actions[:, episode, time])[:, None])
            found[:, episode] += reward[:, 0].numpy()
            unknown &= reward[:, 0].numpy() < 0
    np.testing.assert_allclose(found, optimal_search(TASKS, 3, 1, None, horizon=HORIZON), atol=1e-4)


def step(cell, action):
    moves = ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0))
    return tuple(min(max(c + m, 0), 4) for c, m in zip(cell, moves[action], strict=True))


def test_uniform_actions_by_enumeration():
    goals = np.array([(0, 2), (1, 1), (2, 0), (0, 0)])
    expected = np.zeros(len(goals))
    for actions in itertools.product(range(5), repeat=4):
        cell = (0, 0)
        for action in actions:
            cell = step(cell, action)
            expected += np.where((goals == cell).all(1), 1.0, -0.1) / 5**4
    found = uniform_moves({"goal": goals}, 2, 1, None, horizon=4)
    np.testing.assert_allclose(found, np.stack([expected, expected], 1))


def way(cell, target):
    """Probabilities of the cells after each step of the fair shortest way, as a list of dictionaries."""
    mass, steps = {cell: 1.0}, []
    for _ in range(HORIZON):
        following = {}
        for (x, y), chance in mass.items():
            open_moves = [m for m, ahead in (((x + 1, y), x < target[0]), ((x, y + 1), y < target[1])) if ahead]
            for there in open_moves or [(x, y)]:
                following[there] = following.get(there, 0.0) + chance / len(open_moves or [1])
        mass = following
        steps.append(mass)
    return steps


def test_posterior_sampling_in_the_first_episode_by_enumeration():
    """The prior draw and the ways to it, for every goal; a simulation gave -0.80."""
    on_goal = dict.fromkeys(GOALS, 0.0)
    for drawn in GOALS:
        for mass in way((0, 0), drawn):
            for cell, chance in mass.items():
                if cell in on_goal:
                    on_goal[cell] += chance / len(GOALS)
    expected = np.array([1.1 * on_goal[goal] - 0.1 * HORIZON for goal in GOALS])
    assert expected.mean() == pytest.approx(-0.80, abs=0.02)
    found = sampled_goals(TASKS, 1, 4000, np.random.default_rng(0), goals=TASKS["goal"], horizon=HORIZON)
    np.testing.assert_allclose(found[:, 0], expected, atol=0.25)
    assert found.mean() == pytest.approx(expected.mean(), abs=0.05)


def test_posterior_sampling_rules_out_what_it_visited_and_keeps_what_it_found():
    """Of two goals, neither on the way to the other, the right one is known after an episode, whichever was drawn."""
    two = np.array([(0, 2), (2, 0)])
    found = sampled_goals({"goal": two}, 3, 500, np.random.default_rng(0), goals=two, horizon=HORIZON)
    best = 14 - 0.1
    np.testing.assert_allclose(found[:, 1:], best)
    np.testing.assert_allclose(found[:, 0], (best - 1.5) / 2, atol=1.4)


def test_posterior_sampling_as_published():
    """-0.80, 1.17, 2.96, 4.46; both were simulated, with standard errors of some 0.05."""
    found = sampled_goals(TASKS, 4, 600, np.random.default_rng(0), goals=TASKS["goal"], horizon=HORIZON)
    np.testing.assert_allclose(found.mean(0), [-0.80, 1.17, 2.96, 4.46], atol=0.25)

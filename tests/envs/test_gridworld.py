"""Grid navigation against its definition."""

import numpy as np

from metarl_envs.gridworld import GridNavigation

STAY, UP, RIGHT, DOWN, LEFT = range(5)


def walk(goal, actions):
    env = GridNavigation().make({"goal": np.array(goal)})
    assert env.reset(seed=0)[0].tolist() == [0, 0]
    return [env.step(action) for action in actions]


def test_goals_spaces_and_horizon():
    family = GridNavigation()
    assert (family.horizon, family.action_space.n, family.splits.kind) == (15, 5, "shared")
    goals = family.sample_tasks(21, "meta-train", np.random.default_rng(0))["goal"]
    everywhere = {(x, y) for x in range(5) for y in range(5)}
    assert {tuple(goal) for goal in goals.tolist()} == everywhere - {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_moves_and_walls():
    steps = walk((4, 4), [LEFT, DOWN, UP, RIGHT, RIGHT, STAY, DOWN, LEFT])
    assert [step[0].tolist() for step in steps] == [[0, 0], [0, 0], [0, 1], [1, 1], [2, 1], [2, 1], [2, 0], [1, 0]]
    steps = walk((2, 2), [UP] * 6 + [RIGHT] * 6)
    assert steps[5][0].tolist() == [0, 4]
    assert steps[-1][0].tolist() == [4, 4]


def test_reward_on_the_goal_is_paid_as_long_as_it_is_held():
    steps = walk((0, 2), [UP, UP, STAY, UP, DOWN] + [STAY] * 10)
    np.testing.assert_allclose([step[1] for step in steps], [-0.1, 1, 1, -0.1, 1] + [1] * 10, atol=1e-6)
    assert [step[2:4] for step in steps] == [(False, False)] * 14 + [(False, True)]

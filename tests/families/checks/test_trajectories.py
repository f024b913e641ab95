import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit

from metarl.families.checks.trajectories import Trajectory, actions_for, difference, record
from tests.helpers.slides import LIMIT, Slide


def test_actions_depend_on_the_seed_alone_and_leave_the_space_as_it_is():
    space = spaces.Box(-1, 1, (2,), np.float32)
    space.seed(5)
    expected = space.sample()
    space.seed(5)
    one, same, other = (actions_for(space, 4, seed) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert np.array_equal(space.sample(), expected)
    held = actions_for(space, 4, 1, held=True)
    assert len(held) == 4
    assert all(np.array_equal(action, held[0]) for action in held)


def test_an_episode_is_recorded_until_it_ends():
    """A point that is pushed by 0.5 stands k / 2 further after k steps, until the limit truncates."""
    env = TimeLimit(Slide({"goal": 0.0, "drift": 0.0}), LIMIT)
    found = record(env, 3, [np.array([0.5], np.float32)] * (LIMIT + 5))
    assert (len(found.observations), len(found.rewards), found.end) == (LIMIT + 1, LIMIT, "truncated")
    start = float(found.observations[0][0])
    np.testing.assert_allclose([float(o[0]) - start for o in found.observations], 0.5 * np.arange(LIMIT + 1), atol=1e-5)
    assert record(env, 3, [np.array([0.5], np.float32)] * 2).end == "running"


def test_where_two_episodes_part_is_said_in_words():
    one = Trajectory([np.zeros(1), np.ones(1), np.ones(1)], [1.0, 2.0], "running")
    assert difference(one, one) is None
    assert difference(one, one._replace(rewards=[1.0 + 1e-6, 2.0])) is None, "rounding is no difference"
    assert difference(one, one._replace(rewards=[1.0, 5.0])) == "reward of step 1: 2 and 5"
    other = one._replace(observations=[np.zeros(1), np.full(1, 7.0), np.ones(1)])
    assert difference(one, other) == "observation after 1 steps: [1.] and [7.]"
    assert difference(one, one._replace(end="terminated")) == "running after 2 steps and terminated after 2"
    shaped = one._replace(observations=[np.zeros(2), np.ones(1), np.ones(1)])
    assert difference(one, shaped).startswith("observation after 0 steps")

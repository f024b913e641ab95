"""Observations with history against vectors written out by hand."""

import numpy as np
import pytest
from gymnasium import spaces

from metarl.core.errors import FamilyError
from metarl.trials.observation import HistoryObservation


def test_parts_stand_in_order_for_a_box_of_actions():
    history = HistoryObservation(spaces.Box(-9, 9, (2, 2), np.float64), spaces.Box(-1, 2, (2,), np.float32))
    observation = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert history.start(observation).tolist() == [1, 2, 3, 4, 0, 0, 0, 0]
    after = history.after(observation, np.array([0.5, -0.25], np.float32), -7.5, False)
    assert after.tolist() == [1, 2, 3, 4, 0.5, -0.25, -7.5, 0]
    assert after.dtype == np.float32
    assert history.after(observation, np.array([0, 0], np.float32), 0.0, True).tolist() == [1, 2, 3, 4, 0, 0, 0, 1]


def test_discrete_values_are_one_hot_and_counted_from_their_start():
    history = HistoryObservation(spaces.Discrete(3), spaces.Discrete(4, start=10))
    assert history.start(2).tolist() == [0, 0, 1] + 6 * [0]
    assert history.after(np.int64(0), np.int64(11), 5.0, True).tolist() == [1, 0, 0, 0, 1, 0, 0, 5, 1]


def test_nested_observations_and_several_discrete_actions_are_flat():
    nested = spaces.Dict({"a": spaces.Discrete(2), "b": spaces.Box(-1, 1, (2,))})
    history = HistoryObservation(nested, spaces.MultiDiscrete([2, 3]))
    after = history.after({"a": 1, "b": np.array([0.5, -0.5], np.float32)}, np.array([1, 2]), 3.0, False)
    assert after.tolist() == [0, 1, 0.5, -0.5, 0, 1, 0, 0, 1, 3, 0]


def test_bounds_are_those_of_the_parts():
    low, high = np.array([-3.0, -np.inf]), np.array([4.0, np.finfo(np.float64).max])
    space = HistoryObservation(spaces.Box(low, high, dtype=np.float64), spaces.Box(-2, 1, (1,))).space
    assert space == spaces.Box(
        np.array([-3, -np.inf, -2, -np.inf, 0], np.float32), np.array([4, np.inf, 1, np.inf, 1], np.float32)
    )


@pytest.mark.parametrize(("low", "high", "widened"), [(2, 3, (0, 3)), (-3, -2, (-3, 0))])
def test_the_zeros_before_the_first_action_are_within_the_bounds(low, high, widened):
    history = HistoryObservation(spaces.Box(0, 1, (1,)), spaces.Box(low, high, (1,), np.float32))
    assert history.start(np.ones(1, np.float32)) in history.space
    assert history.after(np.ones(1, np.float32), np.array([high], np.float32), 0.0, True) in history.space
    assert (history.space.low[1], history.space.high[1]) == widened


@pytest.mark.parametrize(
    ("observations", "actions", "message"),
    [
        (spaces.Sequence(spaces.Discrete(2)), spaces.Discrete(2), r"^observation_space = Sequence.*flattens to a Box"),
        (spaces.Discrete(2), spaces.Sequence(spaces.Discrete(2)), r"^action_space = Sequence.*flattens to a Box"),
    ],
)
def test_spaces_without_a_flat_form_are_named(observations, actions, message):
    with pytest.raises(FamilyError, match=message):
        HistoryObservation(observations, actions)

"""Observations with the last step appended, from which a learner with memory can identify the task."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from jaxtyping import Float32

from metarl.core.errors import FamilyError


class HistoryObservation:
    """Flat observations that end with the last action, the last reward and whether the last step ended an episode.

    The parts stand in this order: the observation, flattened; the last action, one-hot for a Discrete space and as it
    is for a Box; the last reward; 1 if the last step ended an inner episode, else 0. These are the inputs of the
    recurrent policy of RL² (Duan et al. 2016, section 2.2).

    Args:
        observation_space: Space of the observations alone.
        action_space: Space of the actions.

    Raises:
        FamilyError: A space has no flat form of fixed size.

    Example:
        >>> history = HistoryObservation(spaces.Box(-9, 9, (2,)), spaces.Discrete(3))
        >>> history.space.shape
        (7,)
        >>> history.start(np.array([4.0, 5.0])).tolist()
        [4.0, 5.0, 0.0, 0.0, 0.0, 0.0, 0.0]
        >>> history.after(np.array([6.0, 7.0]), 2, -0.5, True).tolist()
        [6.0, 7.0, 0.0, 0.0, 1.0, -0.5, 1.0]
    """

    def __init__(self, observation_space: spaces.Space, action_space: spaces.Space) -> None:
        self._observation_space, self._action_space = observation_space, action_space
        observation = _flat("observation_space", observation_space)
        action = _flat("action_space", action_space)
        self._zeros = np.zeros(action.shape[0] + 2, np.float32)
        with np.errstate(over="ignore"):  # the largest bounds of float64 become infinite
            # Zero is the action before the first, even where no action may be zero.
            low = np.concatenate([observation.low, np.minimum(action.low, 0), [-np.inf, 0]]).astype(np.float32)
            high = np.concatenate([observation.high, np.maximum(action.high, 0), [np.inf, 1]]).astype(np.float32)
        self.space = spaces.Box(low, high, dtype=np.float32)
        """Space of the observations with history."""

    def start(self, observation: Any) -> Float32[np.ndarray, " size"]:
        """The first observation of a trial: the history is zero.

        Args:
            observation: A value of the observation space.
        """
        return self._joined(observation, self._zeros)

    def after(self, observation: Any, action: Any, reward: float, inner_end: bool) -> Float32[np.ndarray, " size"]:
        """The observation after a step.

        Args:
            observation: A value of the observation space.
            action: The action of the step, a value of the action space.
            reward: Reward of the step.
            inner_end: Whether the step ended an inner episode.
        """
        flat_action = np.asarray(spaces.flatten(self._action_space, action), np.float32)
        return self._joined(observation, np.append(flat_action, np.array([reward, inner_end], np.float32)))

    def _joined(self, observation: Any, history: np.ndarray) -> np.ndarray:
        flat = np.asarray(spaces.flatten(self._observation_space, observation), np.float32)
        return np.concatenate([flat, history])


def _flat(name: str, space: spaces.Space) -> spaces.Box:
    flat = spaces.flatten_space(space) if space.is_np_flattenable else None
    if not isinstance(flat, spaces.Box):
        raise FamilyError(f"{name} = {space}: expected a space that flattens to a Box, or observe_history=False")
    return flat

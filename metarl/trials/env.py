"""A trial: several inner episodes of one task as one episode of an ordinary environment."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded

from metarl.core.errors import ConfigError
from metarl.trials.observation import HistoryObservation


class TrialEnv(gymnasium.Wrapper):
    """An environment whose episode is a trial: several inner episodes of the environment that it wraps.

    An inner episode ends as the wrapped environment says, or is truncated at the horizon. The step that ends it returns
    the first observation of the next inner episode, so a trial of inner episodes of l1, ..., lN steps has l1 + ... + lN
    steps. The last one returns the last observation of the last inner episode with `terminated`: the trial is the
    horizon of the objective, so it is never `truncated`.

    The info of every step is that of the wrapped environment and

    - `inner_end`: whether the step ended an inner episode,
    - `inner_episode`: the number of inner episodes that have ended so far in the trial,
    - `inner_terminated` and `inner_truncated`: how the step ended the inner episode,
    - `final_observation`, at inner ends: the last observation of the inner episode, without history,
    - `inner_reset_info`, at inner ends before the trial's end: the info of the reset that follows.

    Actions beyond the bounds of a Box are clipped.

    Args:
        env: An environment whose resets keep the task.
        horizon: Time limit of an inner episode in steps.
        episodes: Inner episodes of a trial.
        observe_history: Whether observations are flat and end with the last action, the last reward and the last inner
            end, as `HistoryObservation` describes.
        observation_space: Space of the observations without history (default: that of the environment).

    Raises:
        ConfigError: `horizon` or `episodes` is below 1.
        FamilyError: With `observe_history`, a space has no flat form.

    Example:
        >>> env = TrialEnv(gymnasium.make("CartPole-v1"), horizon=1, episodes=3)
        >>> observation, info = env.reset(seed=1)
        >>> observation.shape  # 4 of the environment, 2 actions, reward, inner end
        (8,)
        >>> for action in (0, 1, 0):
        ...     observation, reward, terminated, truncated, info = env.step(action)
        ...     print(observation[4:].tolist(), info["inner_episode"], terminated)
        [1.0, 0.0, 1.0, 1.0] 1 False
        [0.0, 1.0, 1.0, 1.0] 2 False
        [1.0, 0.0, 1.0, 1.0] 3 True
    """

    spec = None  # type: ignore[assignment]
    """None, since a registered id contains neither the task nor the trial."""

    def __init__(
        self,
        env: gymnasium.Env,
        horizon: int,
        episodes: int = 4,
        *,
        observe_history: bool = True,
        observation_space: spaces.Space | None = None,
    ) -> None:
        super().__init__(env)
        for name, value in (("horizon", horizon), ("episodes", episodes)):
            if value < 1:
                raise ConfigError(f"{name} = {value}; expected a whole number of at least 1")
        self.horizon, self.episodes = horizon, episodes
        space = env.observation_space if observation_space is None else observation_space
        self._history = HistoryObservation(space, env.action_space) if observe_history else None
        self.observation_space = space if self._history is None else self._history.space
        self._over = True

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start a trial of the same task.

        Args:
            seed: Seeds the first inner reset, and by `inner_seed` the later ones. Without it no inner reset has a seed.
            options: Given to every inner reset of the trial.
        """
        self._seed, self._options = seed, options
        self._ended = 0
        observation, info = self._inner_reset()
        self._over = False
        if self._history is not None:
            observation = self._history.start(observation)
        return observation, {**info, "inner_end": False, "inner_episode": 0}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One step of the wrapped environment, and a reset of it after an inner end that is not the trial's.

        Raises:
            ResetNeeded: The trial is over, or has not begun.
        """
        if self._over:
            raise ResetNeeded("step: the trial is over or has not begun; expected a call of reset")
        action = _executed(self.action_space, action)
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._steps += 1
        reward, terminated, truncated = float(reward), bool(terminated), bool(truncated)
        truncated = truncated or (self._steps >= self.horizon and not terminated)
        end = terminated or truncated
        info = {**info, "inner_end": end, "inner_terminated": terminated, "inner_truncated": truncated}
        if end:
            self._ended += 1
            self._over = self._ended == self.episodes
            # A copy, since the reset that follows may change an array in place.
            info["final_observation"] = deepcopy(observation)
            if not self._over:
                observation, info["inner_reset_info"] = self._inner_reset()
        info["inner_episode"] = self._ended
        if self._history is not None:
            observation = self._history.after(observation, action, reward, end)
        return observation, reward, self._over, False, info

    def _inner_reset(self) -> tuple[Any, dict[str, Any]]:
        self._steps = 0
        seed = None if self._seed is None else inner_seed(self._seed, self._ended)
        return self.env.reset(seed=seed, options=self._options)


def inner_seed(seed: int, number: int) -> int:
    """The seed of an inner reset: a function of the trial's seed and the number of the inner episode.

    Args:
        seed: Seed of the trial's reset.
        number: Inner episodes of the trial before this one.

    Returns:
        `seed` itself for the first inner episode, otherwise a number below 2**31, which every generator takes.

    Example:
        >>> inner_seed(7, 0), inner_seed(7, 1) != inner_seed(7, 2)
        (7, True)
    """
    if number == 0:
        return seed
    return int(np.random.SeedSequence(seed, spawn_key=(number,)).generate_state(1)[0]) & 0x7FFFFFFF


def _executed(space: spaces.Space, action: Any) -> Any:
    """The action that the environment executes: clipped to the bounds of a Box."""
    if not isinstance(space, spaces.Box):
        return action
    return np.clip(np.asarray(action).reshape(space.shape), space.low, space.high).astype(space.dtype)

"""Episodes recorded step by step on a device, from which one adaptation step learns."""

from __future__ import annotations

from enum import Enum
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from metarl.adaptation.adapter import AdaptState
from metarl.adaptation.gradient import GradientDescent
from metarl.core.errors import Divergence, EnvironmentFault, FamilyError
from metarl.core.params import TaskParams
from metarl.core.prng import Key
from metarl.deployment.acting import sampled
from metarl.networks.actions import heads_of, starts_of
from metarl.rl.data import Episodes, concatenate_rounds
from metarl.rl.policies import Policy
from metarl.rl.problem import ReinforcementLearning


class Unlearnable(Enum):
    """Kinds of actions that no gradient is taken of."""

    MODE = "the mode of the policy"
    REPEATED = "the last action once more, after an observation that was not finite"


class Choice(NamedTuple):
    """A sampled action with what it was sampled from; tensors of one row, (1, 1, ...)."""

    observation: Tensor
    action: Tensor
    """As sampled, before it was clipped to the action space."""
    distribution: Any


class Recorder:
    """Records the episodes of one agent and turns them into the data of an adaptation step.

    Random numbers of sampled actions are those that `Agent.adapt` draws at the same step, episode and time.

    Args:
        policy: The policy.
        observation_space: Space of the observations.
        action_space: Space of the actions.
        dtype: Floating-point type of the policy.
        step: Number of adaptation steps before this one.
    """

    def __init__(
        self,
        policy: Policy,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        dtype: torch.dtype,
        step: int = 0,
    ) -> None:
        self.policy = policy
        self.observation_space, self.action_space, self.dtype = observation_space, action_space, dtype
        self.step = step
        self.finished: list[Episodes] = []
        """Every finished episode, (1, 1, steps, ...)."""
        self._choices: list[Choice] = []
        self._rewards: list[float] = []
        self._last: Choice | Unlearnable | None = None
        self._acts = 0
        self._episode = self._time = 0

    @property
    def returns(self) -> list[float]:
        """Undiscounted return of each finished episode."""
        return [float(episode.returns) for episode in self.finished]

    def sample(self, rows: Tensor, distribution: Any, seed: int) -> Tensor:
        """Sample an action and keep it for `record`.

        Args:
            rows: The observation, (1, 1, *observation).
            distribution: The policy's distribution for it.
            seed: Seed of the action noise.
        """
        key = Key.from_seed(seed).at("adapt").at_step(self.step).at("policy")
        action = sampled(self.policy, distribution, key.at(0, self._episode, self._time))
        self._time += 1
        self.acted(Choice(rows, action, distribution))
        return action

    def acted(self, how: Choice | Unlearnable) -> None:
        """Note the action that `record` is about."""
        self._last = how
        self._acts += 1

    def record(self, reward: Any, ended: bool) -> None:
        """Record what followed the last action.

        Args:
            reward: The reward of the step.
            ended: Whether the episode ended.

        Raises:
            FamilyError: There is no sampled action to record, or one of the episode was left out.
            EnvironmentFault: The reward is not a finite number.
        """
        value = as_reward(reward)
        if self._last is None:
            raise FamilyError("record was called before act; call act(observation, deterministic=False) first")
        if self._last is Unlearnable.MODE:
            raise FamilyError(
                "record after an action without noise; adaptation learns from sampled actions: "
                "act(observation, deterministic=False)"
            )
        if self._choices and self._acts > 1:
            raise FamilyError(
                f"act was called {self._acts} times since the last record; record every step of an episode, "
                "or drop the episode with discard_episode()"
            )
        if isinstance(self._last, Choice):
            self._choices.append(self._last)
            self._rewards.append(value)
        elif self._choices:
            self._rewards[-1] += value  # the last action went on for one more step
        self._last, self._acts = None, 0
        if ended:
            if self._choices:
                self.finished.append(self._as_episode())
            self.discard_episode()

    def discard_episode(self) -> None:
        """Drop the steps of the episode that is not finished, and begin the next one."""
        self._choices, self._rewards, self._last, self._acts = [], [], None, 0
        self._episode, self._time = self._episode + 1, 0

    def add(self, params: TaskParams, observations: Any, actions: Any, rewards: Any) -> None:
        """Add a whole episode from its logged arrays.

        Args:
            params: The parameters that sampled the actions, with a leading axis of one task.
            observations: Observations before each action, (steps, *observation).
            actions: Actions as sampled, before they were clipped: (steps, action) for a Box, (steps,) for a Discrete.
            rewards: Rewards, (steps,).

        Raises:
            FamilyError: An episode is being recorded, a shape differs, or a discrete action is not in the space.
            EnvironmentFault: A number is not finite.
        """
        self._check_finished()
        gained = _array("rewards", rewards, (np.size(rewards),))
        steps = len(gained)
        space = self.observation_space
        one = space.shape if isinstance(space, spaces.Box) else (int(spaces.flatdim(space)),)
        seen = _array("observations", observations, (steps, *one)).reshape(steps, -1)
        heads = heads_of(self.action_space)
        size = (self.action_space.shape or ()) if heads is None else (len(heads),)
        taken = _array("actions", actions, (steps, *size))
        rows = torch.as_tensor(seen.astype(np.float32), dtype=self.dtype)[None, None]
        if isinstance(self.action_space, spaces.Discrete):
            outside = [value for value in taken if not self.action_space.contains(np.int64(value)) or value % 1]
            if outside:
                raise FamilyError(f"action {outside[0]:g} is not in {self.action_space}")
            chosen = torch.as_tensor(taken - int(self.action_space.start)).long()[None, None]
        elif heads is not None:
            counted = taken - np.array(starts_of(self.action_space))
            if ((counted < 0) | (counted >= np.array(heads)) | (counted % 1 != 0)).any():
                raise FamilyError(f"actions: expected whole numbers of {self.action_space}, a column for each choice")
            chosen = torch.as_tensor(counted).long()[None, None]
        else:
            chosen = torch.as_tensor(taken, dtype=self.dtype)[None, None]
        with torch.no_grad():
            distribution, _ = self.policy.act(params, rows)
        self.finished.append(_episode(rows, chosen, distribution, gained.tolist()))
        self._episode += 1

    def learn(
        self, problem: ReinforcementLearning, state: AdaptState, adapter: GradientDescent
    ) -> tuple[AdaptState, float]:
        """One adaptation step on all finished episodes, and their mean return.

        Args:
            problem: Computes baseline, advantages and loss.
            state: The state with which the episodes were recorded.
            adapter: The inner loop.

        Raises:
            FamilyError: No episode was recorded, or the last one is not finished.
            Divergence: The parameters have diverged.
        """
        self._check_finished()
        if not self.finished:
            raise FamilyError(
                "update without a recorded episode; call act(observation, deterministic=False) and record(reward, ...) "
                "until terminated or truncated is true"
            )
        self.policy.check(state.params)
        collected = problem.collected(state.params, concatenate_rounds(self.finished))
        after = adapter.observe(problem, state, collected)
        for name, value in after.params.items():
            if not bool(torch.isfinite(value).all()):
                raise Divergence(f"parameter {name} is not finite after the update; try a smaller inner_lr")
        self.policy.check(after.params)
        return after, float(collected.performance)

    def _check_finished(self) -> None:
        if self._choices:
            raise FamilyError(
                f"episode {len(self.finished)} is not finished: {len(self._choices)} steps recorded; record its last "
                "step with terminated or truncated, or drop it with discard_episode()"
            )

    def _as_episode(self) -> Episodes:
        """The recorded steps, with log-probabilities computed as a rollout computes them."""
        observations, actions, distributions = zip(*self._choices, strict=True)
        taken = torch.stack(actions, 2)
        acted = type(distributions[0])._make(torch.stack(part, 2) for part in zip(*distributions, strict=True))
        return _episode(torch.stack(observations, 2), taken, acted, self._rewards)


def as_reward(reward: Any) -> float:
    """A reward as a float.

    Raises:
        EnvironmentFault: It is not a finite number.

    Example:
        >>> as_reward(np.float32(0.5))
        0.5
    """
    try:
        value = float(reward)
    except (TypeError, ValueError, RuntimeError):
        raise EnvironmentFault(f"reward = {reward!r}; expected a finite number") from None
    if not np.isfinite(value):
        raise EnvironmentFault(f"reward = {value}; expected a finite number")
    return value


def _array(name: str, values: Any, shape: tuple[int, ...]) -> np.ndarray:
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise FamilyError(f"{name} are not numbers of shape {shape}") from None
    if array.shape != shape or not array.size:
        raise FamilyError(f"{name} of shape {array.shape}; expected {shape}, with at least one step")
    if not np.isfinite(array).all():
        raise EnvironmentFault(f"{name} are not finite at step {int(np.argwhere(~np.isfinite(array))[0][0])}")
    return array


def _episode(observations: Tensor, actions: Tensor, distribution: Any, rewards: list[float]) -> Episodes:
    gained = torch.tensor(rewards, dtype=observations.dtype)[None, None]
    mask = torch.ones(gained.shape, dtype=torch.bool)
    return Episodes(observations, actions, distribution.log_prob(actions), gained, mask)

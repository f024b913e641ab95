"""Acting on one observation: from an array to a batch of one row, and from a distribution to an action."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from metarl.adaptation.adapter import stack
from metarl.core.errors import Divergence, EnvironmentFault, FamilyError
from metarl.core.params import Params, TaskParams
from metarl.core.prng import Key, normal, uniform
from metarl.networks.actions import heads_of, one_in_space
from metarl.rl.memory import MemoryPolicy
from metarl.rl.policies import Policy


def as_rows(observation: Any, space: spaces.Space, dtype: torch.dtype) -> Tensor:
    """An observation as a batch of one task with one episode, shape (1, 1, size).

    Args:
        observation: The observation, as the space has it or as a flat vector.
        space: The policy's observation space.
        dtype: Floating-point type of the policy.

    Raises:
        FamilyError: It is no array, or has another shape.

    Example:
        >>> as_rows([0.5, 1.0], spaces.Box(-1, 1, (2,)), torch.float32)
        tensor([[[0.5000, 1.0000]]])
    """
    if isinstance(space, spaces.Box):
        size: tuple[int, ...] = space.shape
    else:
        size = (int(spaces.flatdim(space)),)
        observation = _flattened(observation, space)
    try:
        array = np.asarray(observation, np.float32)
    except (TypeError, ValueError):
        raise FamilyError(
            f"observation {observation!r} is not a vector; flatten it with gymnasium.spaces.flatten"
        ) from None
    if array.shape != size and array.shape != (math.prod(size),):
        raise FamilyError(f"observation of shape {array.shape}; expected {size}")
    return torch.as_tensor(array, dtype=dtype).reshape(1, 1, -1)


def _flattened(observation: Any, space: spaces.Space) -> Any:
    """An observation of a space that is no Box as a vector; what is a vector already stays as it is."""
    if isinstance(observation, np.ndarray) and observation.shape == (spaces.flatdim(space),):
        return observation
    try:
        return spaces.flatten(space, observation)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError):
        raise FamilyError(f"observation {observation!r:.80}; expected one of {space}") from None


def is_sound(distribution: Any, rows: Tensor, can_keep: bool) -> bool:
    """Whether a distribution over actions is finite; an action of NaN would pass through clipping, and reach a robot.

    Args:
        distribution: The distribution, a tuple of tensors.
        rows: The observation, (1, 1, *observation).
        can_keep: Whether there is a last action to take if the observation is at fault; otherwise that is an error.

    Raises:
        EnvironmentFault: The distribution is not finite because the observation is not.
        Divergence: The distribution is not finite although the observation is.
    """
    # By NumPy, whose calls cost less than torch's on so few numbers.
    if all(np.isfinite(part.numpy()).all() for part in distribution):
        return True
    observation = rows.flatten()
    wrong = (~torch.isfinite(observation)).nonzero().flatten().tolist()
    if not wrong:
        raise Divergence("policy's action is not finite; expected observations of the size of those in training")
    if not can_keep:
        raise EnvironmentFault(
            f"observation[{wrong[0]}] = {float(observation[wrong[0]])} ({len(wrong)} of {len(observation)} entries are "
            "not finite); expected finite numbers; with keep_last=True act repeats the last action"
        )
    return False


def sampled(policy: Policy | MemoryPolicy, distribution: Any, key: Key) -> Tensor:
    """An action drawn from a distribution by the random numbers that a rollout has at the same position.

    Args:
        policy: The policy, which says how many random numbers an action takes, and of which kind.
        distribution: The distribution, with one row.
        key: Position of the step: below the position of the episode, the number of the step.
    """
    # The hashes of `Key.env_seeds` and `noise_seeds` as Python's numbers, ten times as fast for one row.
    values = np.array([key.at(number).value for number in range(policy.noise_components)], np.uint64)
    seeds = torch.from_numpy(values.view(np.int64))[None, None]
    draw = normal if policy.noise == "normal" else uniform
    action: Tensor = distribution.sample(draw(seeds).to(next(iter(distribution)).dtype))
    return action


class OneTask:
    """Parameters with a leading axis of one task, stacked anew only after they were replaced."""

    def __init__(self) -> None:
        self._stacked_of: list[Tensor] = []
        self._stacked: TaskParams = {}

    def __call__(self, params: Params) -> TaskParams:
        """The stacked parameters, as views of the given ones."""
        given = list(params.values())
        known = self._stacked_of
        if len(known) != len(given) or any(one is not other for one, other in zip(known, given, strict=True)):
            self._stacked_of, self._stacked = given, stack(params, 1)
        return self._stacked


def as_action(action: Tensor, space: spaces.Space) -> Any:
    """The action of the only row in the action space: clipped to a Box, or counted from the start of a Discrete.

    Args:
        action: The action as the policy's distribution gives it, with one row.
        space: The action space.

    Returns:
        A float32 array for a Box, an int for a Discrete, and an array or a tuple for several choices.

    Example:
        >>> as_action(torch.tensor([[1]]), spaces.Discrete(3, start=5))
        6
    """
    chosen = action[0, 0].numpy()
    if heads_of(space) is not None:
        return one_in_space(chosen, space)
    if isinstance(space, spaces.Discrete):
        return int(chosen) + int(space.start)
    assert isinstance(space, spaces.Box)
    return np.clip(chosen, space.low, space.high).astype(np.float32)

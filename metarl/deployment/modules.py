"""Policies as torch modules with parameters inside and tensors by name as inputs and outputs, for export."""

from __future__ import annotations

from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn

from metarl.core.errors import FamilyError
from metarl.core.params import MEMORY, RATE, Params
from metarl.networks.actions import SUPPORTED, heads_of, starts_of
from metarl.rl.memory import MemoryPolicy
from metarl.rl.policies import Policy, module_of

UNUSED = (RATE, MEMORY, "value.")
"""Prefixes of parameters that have no part in choosing actions."""


class PolicyModule(nn.Module):
    """A policy and its parameters as one module: a batch of observations to distributions and actions.

    The outputs are the fields of the distribution (`mean` and `log_std`, or `logits`) and `action`, its mode in the
    action space: clipped to a Box, or counted from the start of a Discrete.

    Args:
        policy: The policy.
        params: Its parameters.
        action_space: A space that policies have a distribution for.

    Raises:
        FamilyError: The action space is another.

    Example:
        >>> from metarl.core.prng import Key
        >>> from metarl.rl import make_policy
        >>> choices = spaces.Discrete(3, start=1)
        >>> policy = make_policy(spaces.Box(-1, 1, (2,)), choices, hidden_sizes=(4,))
        >>> module = PolicyModule(policy, policy.initialise(Key.from_seed(1)), choices)
        >>> {name: tuple(value.shape) for name, value in module(torch.zeros(5, 2)).items()}
        {'logits': (5, 3), 'action': (5,)}
    """

    def __init__(self, policy: Any, params: Params, action_space: spaces.Space) -> None:
        super().__init__()
        self.policy = policy
        self.names = [name for name in params if not name.startswith(UNUSED)]
        for name in self.names:
            self.register_buffer(_buffer(name), params[name].detach().clone())
        reads = module_of(policy)
        self.reads_bytes = reads is not None and reads.layout.reads_bytes
        self.dtype = next(iter(params.values())).dtype
        self.start: int | None = None
        self.action_starts: Tensor | None
        self.register_buffer("action_starts", None)
        if isinstance(action_space, spaces.Discrete):
            self.start = int(action_space.start)
        elif heads_of(action_space) is not None:
            self.action_starts = torch.tensor(starts_of(action_space))
        elif isinstance(action_space, spaces.Box):
            for name, side in (("low", action_space.low), ("high", action_space.high)):
                self.register_buffer(f"action_{name}", torch.as_tensor(side, dtype=self.dtype))
        else:
            raise FamilyError(f"action space {action_space} cannot be exported: expected {SUPPORTED}")

    def parameters_of_one_task(self) -> dict[str, Tensor]:
        """The policy's parameters with a leading axis of one task."""
        return {name: getattr(self, _buffer(name))[None] for name in self.names}

    def forward(self, observation: Tensor) -> dict[str, Tensor]:
        """Distributions and actions for observations (batch, *observation)."""
        rows = observation.flatten(1) if observation.ndim > 2 else observation
        distribution, _ = self.policy.act(self.parameters_of_one_task(), rows.to(self.dtype)[None])
        return self.outputs(distribution)

    def outputs(self, distribution: Any) -> dict[str, Tensor]:
        """The named outputs of a distribution of one task."""
        fields = {name: part[0] for name, part in zip(distribution._fields, distribution, strict=True)}
        return fields | {"action": self._in_space(distribution.mode()[0])}

    def _in_space(self, action: Tensor) -> Tensor:
        if self.start is not None:
            return action + self.start
        if self.action_starts is not None:
            return action + self.action_starts
        # Two steps, since ONNX clips to scalars alone.
        return torch.minimum(torch.maximum(action, self.action_low), self.action_high).float()  # type: ignore[arg-type]

    def example(self, observation_shape: tuple[int, ...], batch: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Random inputs by name, in the order of `forward`.

        Args:
            observation_shape: Shape of one observation.
            batch: Number of rows.
            generator: Draws them.
        """
        shape = (batch, *observation_shape)
        if self.reads_bytes:
            return {"observation": torch.randint(256, shape, generator=generator, dtype=torch.uint8)}
        return {"observation": torch.randn(shape, generator=generator)}

    def initial(self, observation_shape: tuple[int, ...]) -> dict[str, Any]:
        """Values of the inputs besides the observation at the start of a trial, for one row; without memory none."""
        return {}


class MemoryPolicyModule(PolicyModule):
    """A policy with memory as one module.

    Further inputs are `previous_action` (as sampled, before it was clipped), `previous_reward`, `previous_end` (1 if
    the previous step ended an episode) and `memory_in`; the further output `memory_out` is the next `memory_in`.
    """

    policy: MemoryPolicy

    def forward(  # type: ignore[override]
        self,
        observation: Tensor,
        previous_action: Tensor,
        previous_reward: Tensor,
        previous_end: Tensor,
        memory_in: Tensor,
    ) -> dict[str, Tensor]:
        """Distributions, actions and the next memory.

        Args:
            observation: (batch, observation).
            previous_action: (batch, action), or (batch,) if discrete; a discrete value outside the space is none.
            previous_reward: (batch,).
            previous_end: (batch,).
            memory_in: (batch, memory).
        """
        memory = {
            "state": memory_in,
            "action": self._encoded(previous_action),
            "reward": previous_reward[:, None].to(self.dtype),
            "end": previous_end[:, None].to(self.dtype),
        }
        memory = {name: value[None] for name, value in memory.items()}
        rows = observation.to(self.dtype)[None]
        distribution, after = self.policy.act(self.parameters_of_one_task(), rows, memory)
        return self.outputs(distribution) | {"memory_out": after["state"][0]}

    def _encoded(self, action: Tensor) -> Tensor:
        """The encoding of the policy, with zeros for no action."""
        if self.start is None:
            return action.to(self.dtype)
        choices = torch.arange(self.policy.actions, device=action.device) + self.start
        return (action[:, None] == choices).to(self.dtype)

    def example(self, observation_shape: tuple[int, ...], batch: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Random inputs by name, in the order of `forward`."""
        inputs = super().example(observation_shape, batch, generator)
        if self.start is None:
            action = torch.randn(batch, self.policy.actions, generator=generator, dtype=self.dtype)
        else:
            action = torch.randint(self.policy.actions, (batch,), generator=generator) + self.start
        size = self._empty(observation_shape).shape[-1]
        return inputs | {
            "previous_action": action,
            "previous_reward": torch.randn(batch, generator=generator, dtype=self.dtype),
            "previous_end": torch.randint(2, (batch,), generator=generator).to(self.dtype),
            "memory_in": torch.rand(batch, size, generator=generator, dtype=self.dtype) * 2 - 1,
        }

    def initial(self, observation_shape: tuple[int, ...]) -> dict[str, Any]:
        """Values of the inputs besides the observation at the start of a trial, for one row."""
        none = [0.0] * self.policy.actions if self.start is None else self.start - 1
        memory = self._empty(observation_shape)[0, 0].tolist()
        return {"previous_action": none, "previous_reward": 0.0, "previous_end": 0.0, "memory_in": memory}

    def _empty(self, observation_shape: tuple[int, ...]) -> Tensor:
        return self.policy.empty(torch.zeros(1, 1, *observation_shape, dtype=self.dtype))["state"]


def policy_module(policy: Policy | MemoryPolicy, params: Params, action_space: spaces.Space) -> PolicyModule:
    """The module of a policy, with or without memory.

    Args:
        policy: The policy.
        params: Its parameters.
        action_space: The action space.

    Raises:
        FamilyError: The action space cannot be exported.
    """
    kind = MemoryPolicyModule if isinstance(policy, MemoryPolicy) else PolicyModule
    return kind(policy, params, action_space).eval()


def _buffer(name: str) -> str:
    """Name of a parameter's buffer, which must have no dots and not be an attribute of modules."""
    return "theta_" + name.replace(".", "_")

"""A meta-trained policy with memory, which adapts while it acts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from metarl.config.memory import Rl2Config
from metarl.core.errors import FamilyError
from metarl.core.machine import DTYPES
from metarl.core.params import Params
from metarl.core.prng import Key
from metarl.deployment.acting import OneTask, as_action, as_rows, is_sound, sampled
from metarl.deployment.export import export_policy
from metarl.deployment.modules import policy_module
from metarl.deployment.recording import as_reward
from metarl.rl.setup import memory_policy, spaces_from


class MemoryAgent:
    """A policy with memory for one environment: it adapts while it acts.

    `forget` starts a trial. After every step of the environment, `record` tells the agent what followed its action.

    Args:
        config: The configuration of the run.
        params: Parameters of the policy.
        description: Spaces, as `metarl.rl.setup.describe_spaces` returns them.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> import metarl
        >>> family = metarl.load_family("navigation2d")
        >>> env = family.make({"goal": np.array([0.3, 0.2], np.float32)})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     options = {"iterations": 1, "meta_batch_size": 2, "episodes": 4, "validation_tasks": 0}
        ...     agent = metarl.load(metarl.train("rl2", run_dir=f"{folder}/run", **options))
        >>> observation, _ = env.reset(seed=1)
        >>> for _ in range(3):
        ...     observation, reward, terminated, truncated, _ = env.step(agent.act(observation))
        ...     agent.record(reward, terminated, truncated)
        >>> agent.act(observation).shape
        (2,)
    """

    def __init__(self, config: Rl2Config, params: Params, description: dict[str, Any]) -> None:
        self.config, self.params, self.description = config, params, description
        self.observation_space, self.action_space = spaces_from(description)
        self.policy = memory_policy(config, self.observation_space, self.action_space)
        self._one_task = OneTask()
        self.forget()

    def forget(self) -> None:
        """Start a trial: empty the memory."""
        self._memory: dict[str, torch.Tensor] | None = None
        self._acted: torch.Tensor | None = None
        self._last: torch.Tensor | None = None
        self._draws = 0

    def act(self, observation: Any, *, deterministic: bool = True, seed: int = 0, keep_last: bool = False) -> Any:
        """The action for one observation, clipped to the action space; the memory reads the observation.

        Args:
            observation: An observation of the environment.
            deterministic: Whether the action is the mode of the policy; otherwise it is sampled, with new random
                numbers at each call.
            seed: Seed of sampled actions.
            keep_last: Whether an observation of NaN gives the last action of the trial again instead of an error. The
                memory does not read such an observation.

        Raises:
            FamilyError: The observation does not fit the policy, or `observe` was not called after the last action.
            EnvironmentFault: The observation is not finite, and no last action is to be kept.
            Divergence: The observation is so large that the policy's action is not finite.
        """
        if self._acted is not None:
            raise FamilyError(
                "act was called twice; call observe(reward, ended) or record(reward, terminated, truncated) after "
                "every step of the environment"
            )
        rows = as_rows(observation, self.observation_space, DTYPES[self.config.dtype])
        with torch.no_grad():
            distribution, memory = self.policy.act(self._one_task(self.params), rows, self._memory)
            if not is_sound(distribution, rows, keep_last and self._last is not None):
                assert self._last is not None
                self._acted = self._last
                return as_action(self._last, self.action_space)
            if deterministic:
                action = distribution.mode()
            else:
                action = sampled(self.policy, distribution, Key.from_seed(seed).at("act", self._draws, 0, 0, 0))
        self._memory, self._acted, self._last = memory, action, action
        self._draws += 1
        return as_action(action, self.action_space)

    def observe(self, reward: float, ended: bool) -> None:
        """Remember what followed the last action.

        Args:
            reward: The reward of the step.
            ended: Whether the episode ended; the trial goes on until `forget`.

        Raises:
            FamilyError: No action was taken since the last call.
            EnvironmentFault: The reward is not a finite number.
        """
        if self._acted is None or self._memory is None:
            raise FamilyError("observe was called before act")
        dtype = DTYPES[self.config.dtype]
        gained, end = torch.tensor([[as_reward(reward)]], dtype=dtype), torch.tensor([[bool(ended)]])
        self._memory = self.policy.remember(self._memory, self._acted, gained, end)
        self._acted = None

    def record(self, reward: float, terminated: bool = False, truncated: bool = False) -> None:
        """`observe` with the arguments of `Agent.record`, so that one control loop serves both kinds of agents."""
        self.observe(reward, bool(terminated) or bool(truncated))

    def export(self, path: Path | str) -> None:
        """Write the policy for other runtimes, as `Agent.export` does, with the memory as input and output.

        Args:
            path: The file, `.onnx` or `.pt2`; an existing one is overwritten.

        Raises:
            ConfigError: The suffix is another, or a package is missing.
            RunError: The file cannot be written.
        """
        module = policy_module(self.policy, self.params, self.action_space)
        export_policy(module, path, self.observation_space, self.config, {"spaces": self.description})

"""Vector environments of tasks x episodes sub-environments on tensors.

Analytic families step in one batch; other families step by a vector environment of gymnasium.

A sub-environment runs one episode of one task at a time. The interface is `reset(seeds)` and `step(actions)` on tensors
(tasks, episodes, ...). A sub-environment whose episode ended is reset before its next step. Actions are raw outputs of
the policy: continuous ones are clipped to the action space here, and discrete ones are counted from zero.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from jaxtyping import Bool, Int
from torch import Tensor

from metarl.core.errors import Divergence, EnvironmentFault
from metarl.families.analytic_env import AnalyticVecEnv, AnalyticVectorEnv
from metarl.families.family import TaskFamily
from metarl.families.observe_task import ObserveTask, ObserveTaskVectorEnv
from metarl.families.tasks import Tasks, number_of_tasks
from metarl.families.vector import environment_faults, successes_in
from metarl.families.workers import SubprocVectorEnv
from metarl.networks.actions import heads_of, in_space


class GymVecEnv:
    """A gymnasium vector environment with autoreset disabled, in task-major order, on tensors.

    Args:
        env: The vector environment.
        tasks: Number of tasks; each has `env.num_envs / tasks` sub-environments.
        family: Rebuilds environments that have no `set_tasks`.
        device: Device of all tensors.
        dtype: Floating-point type of observations and rewards.
        keep_bytes: Whether observations of bytes stay bytes.
    """

    torch_threads: int | None = 1
    """Threads of torch while the environments step: one, since a thread pool or workers step them on the same cores."""

    def __init__(
        self,
        env: VectorEnv,
        tasks: int,
        *,
        family: TaskFamily | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        keep_bytes: bool = False,
    ) -> None:
        self.env = env
        self.tasks = tasks
        self.family = family
        self.episodes = env.num_envs // tasks
        self.device = torch.device(device)
        self.dtype = dtype
        self._kept = torch.uint8 if keep_bytes else dtype
        self._ended = np.zeros(env.num_envs, bool)
        self.succeeded: Bool[Tensor, "tasks episodes"] | None = None
        """Success of each sub-environment's last step; None if the environments do not report it."""

    def set_tasks(self, tasks: Tasks) -> None:
        """Change the tasks of all sub-environments; a vector environment without `set_tasks` is rebuilt."""
        if hasattr(self.env, "set_tasks"):
            self.env.set_tasks(tasks)
        elif self.family is not None:
            self.env.close()
            self.env = self.family.make_vec(tasks, self.episodes)

    def close(self) -> None:
        """Close the vector environment."""
        self.env.close()

    def reset(self, seeds: Int[Tensor, "tasks episodes"]) -> Tensor:
        """Start episodes in all sub-environments; returns observations (tasks, episodes, size)."""
        # 31 bits, since environments that seed NumPy's legacy generator accept no more.
        self._seeds = ((seeds >> 33) & 0x7FFFFFFF).flatten().tolist()
        self._ended[:] = False
        self._steps = 0
        with self._faults("reset"):
            observation, _ = self.env.reset(seed=list(self._seeds))  # type: ignore[arg-type]
            self._observation = self._observed(observation)
        return self._observation

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Observations, rewards and ends (terminated or truncated) of all sub-environments.

        Raises:
            Divergence: An action is not finite.
            EnvironmentFault: An environment raised, or its last observation was not finite.
        """
        if self._ended.any():
            with self._faults("reset"):
                self.env.reset(options={"reset_mask": self._ended.copy()})
        finite = torch.isfinite(actions).reshape(self.tasks, self.episodes, -1).all(-1)
        if not bool(finite.all()):
            task, episode = (int(i) for i in (~finite).nonzero()[0])
            if not bool(torch.isfinite(self._observation[task, episode]).all()):
                place = f"task {task}, episode {episode}, step {self._steps}"
                raise EnvironmentFault(f"observation is not finite at {place}")
            raise Divergence(f"policy's action is not finite at task {task}: the parameters diverged", task)
        array: Any = actions.flatten(0, 1).cpu().numpy()
        space = self.env.single_action_space
        if isinstance(space, spaces.Box):
            array = np.clip(array, space.low, space.high).astype(space.dtype)
        elif isinstance(space, spaces.Discrete):
            array = array + space.start
        elif heads_of(space) is not None:
            array = in_space(array, space)
        self._steps += 1
        with self._faults("step"):
            observation, reward, terminated, truncated, info = self.env.step(array)
            self._ended = np.asarray(terminated | truncated).reshape(self.env.num_envs)
            self._observation = self._observed(observation)
            successes = successes_in(info, self.env.num_envs)
            self.succeeded = None if successes is None else self._flags(successes)
            return (
                self._observation,
                self._tensor(reward).reshape(self.tasks, self.episodes),
                self._flags(self._ended),
            )

    def _faults(self, method: str) -> AbstractContextManager[None]:
        place = f"family '{self.family.name}'" if self.family is not None else "environment"
        return environment_faults(place, method, self._steps)

    def _flags(self, array: np.ndarray) -> Bool[Tensor, "tasks episodes"]:
        return torch.as_tensor(array, device=self.device).reshape(self.tasks, self.episodes)

    def _observed(self, array: Any) -> Tensor:
        """Observations as flat rows; bytes stay bytes if they are to be kept."""
        return self._tensor(array, self._kept).flatten(2)

    def _tensor(self, array: Any, dtype: torch.dtype | None = None) -> Tensor:
        # A copy: a vector environment may return the same buffer at every step.
        tensor = torch.tensor(np.asarray(array), dtype=dtype or self.dtype)
        if self.device.type == "cuda":
            tensor = tensor.pin_memory()  # makes the copy asynchronous
        return tensor.to(self.device, non_blocking=True).reshape(self.tasks, self.episodes, *tensor.shape[1:])


VecEnv = AnalyticVecEnv | GymVecEnv
"""Vector environments that rollouts accept."""


def make_vec_env(
    family: TaskFamily,
    tasks: Tasks,
    episodes: int,
    *,
    device: torch.device | str,
    dtype: torch.dtype,
    workers: int = 0,
    timeout: float = 60.0,
    keep_bytes: bool = False,
) -> VecEnv:
    """Make the fastest vector environment that the family supports.

    Args:
        family: The family.
        tasks: A batch of tasks; `set_tasks` of the result changes them.
        episodes: Sub-environments of each task.
        device: Device of all tensors.
        dtype: Floating-point type of observations and rewards.
        workers: Processes that step ordinary environments; 0 steps them in this process.
        timeout: Seconds after which a worker that does not answer counts as hung.
        keep_bytes: Whether observations of bytes stay bytes, a quarter of the memory of float32.

    Raises:
        FamilyError: An environment cannot be made, or the family cannot be sent to workers.

    Example:
        >>> from metarl.families import load_family
        >>> family = load_family("navigation2d")
        >>> tasks = family.sample_tasks(3, "meta-train", np.random.default_rng(0))
        >>> envs = make_vec_env(family, tasks, 4, device="cpu", dtype=torch.float32)
        >>> envs.reset(torch.arange(12).reshape(3, 4)).shape
        torch.Size([3, 4, 2])
    """
    env = _vector_env(family, tasks, episodes, workers, timeout)
    if isinstance(env, AnalyticVectorEnv):
        own = env.batch
        return AnalyticVecEnv(own.family, tasks, episodes, device=device, dtype=dtype, observe_task=own.observe_task)
    return GymVecEnv(env, number_of_tasks(tasks), family=family, device=device, dtype=dtype, keep_bytes=keep_bytes)


def _vector_env(family: TaskFamily, tasks: Tasks, episodes: int, workers: int, timeout: float) -> VectorEnv:
    if workers and isinstance(family, ObserveTask):
        inner = _vector_env(family.family, tasks, episodes, workers, timeout)
        if not isinstance(inner, AnalyticVectorEnv):
            return ObserveTaskVectorEnv(family, inner, tasks)
    elif workers and type(family).make_vec is TaskFamily.make_vec:
        return SubprocVectorEnv(family, tasks, episodes, workers=workers, timeout=timeout)
    return family.make_vec(tasks, episodes)

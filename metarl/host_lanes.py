"""Lanes over any of gymnasium's vector environments."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from jaxtyping import Bool, Int
from torch import Tensor

from metarl.errors import Divergence, EnvironmentFault, MetarlError
from metarl.families import TaskFamily
from metarl.success import successes_in
from metarl.tasks import Tasks


class HostLanes:
    """Lanes over any gymnasium vector environment with autoreset disabled, in task-major order."""

    torch_threads: int | None = 1
    """Threads of torch between two steps: a pool, or workers, step the environments on the same cores."""

    def __init__(
        self,
        env: VectorEnv,
        tasks: int,
        *,
        family: TaskFamily | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.env = env
        self.tasks = tasks
        self.family = family
        self.episodes = env.num_envs // tasks
        self.device = torch.device(device)
        self.dtype = dtype
        self._ended = np.zeros(env.num_envs, bool)
        self.succeeded: Bool[Tensor, "tasks episodes"] | None = None
        """Which lanes' last step was called a success; None where the environments said nothing of it."""

    def set_tasks(self, tasks: Tasks) -> None:
        """Other tasks for the same lanes; an environment that cannot be re-tasked is rebuilt."""
        if hasattr(self.env, "set_tasks"):
            self.env.set_tasks(tasks)
        elif self.family is not None:
            self.env.close()
            self.env = self.family.make_vec(tasks, self.episodes)

    def close(self) -> None:
        self.env.close()

    def reset(self, seeds: Int[Tensor, "tasks episodes"]) -> Tensor:
        # 31 bits: environments that seed NumPy's legacy generator take no more.
        self._seeds = ((seeds >> 33) & 0x7FFFFFFF).flatten().tolist()
        self._ended[:] = False
        self._steps = 0
        with self._naming("reset"):
            observation, _ = self.env.reset(seed=list(self._seeds))  # type: ignore[arg-type]
            self._observation = self._tensor(observation)
        return self._observation

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if self._ended.any():
            with self._naming("reset"):
                self.env.reset(options={"reset_mask": self._ended.copy()})
        finite = torch.isfinite(actions).reshape(self.tasks, self.episodes, -1).all(-1)
        if not bool(finite.all()):
            task, episode = (int(i) for i in (~finite).nonzero()[0])
            if not bool(torch.isfinite(self._observation[task, episode]).all()):
                place = f"task {task}, episode {episode}, step {self._steps}"
                raise EnvironmentFault(f"observation is not finite at {place}")
            raise Divergence(f"policy's action is not finite at task {task}: the parameters diverged", task)
        array = actions.flatten(0, 1).cpu().numpy()
        space = self.env.single_action_space
        if isinstance(space, spaces.Box):
            array = np.clip(array, space.low, space.high).astype(space.dtype)
        elif isinstance(space, spaces.Discrete):
            array = array + space.start
        self._steps += 1
        with self._naming("step"):
            observation, reward, terminated, truncated, info = self.env.step(array)
            self._ended = np.asarray(terminated | truncated).reshape(self.env.num_envs)
            self._observation = self._tensor(observation)
            successes = successes_in(info, self.env.num_envs)
            self.succeeded = None if successes is None else self._flags(successes)
            return (
                self._observation,
                self._tensor(reward).reshape(self.tasks, self.episodes),
                self._flags(self._ended),
            )

    @contextmanager
    def _naming(self, method: str) -> Iterator[None]:
        """Name what a vector environment raises, or returns that is not what it should be."""
        try:
            yield
        except MetarlError:
            raise
        except Exception as error:
            name = f"family '{self.family.name}'" if self.family is not None else "environment"
            raised = f"{method} raised {type(error).__name__}: {error} (step {self._steps})"
            raise EnvironmentFault(f"{name}: {raised}") from error

    def _flags(self, array: np.ndarray) -> Bool[Tensor, "tasks episodes"]:
        return torch.as_tensor(array, device=self.device).reshape(self.tasks, self.episodes)

    def _tensor(self, array: Any) -> Tensor:
        # A copy: a vector environment may return the same buffer at every step.
        tensor = torch.tensor(np.asarray(array), dtype=self.dtype)
        if self.device.type == "cuda":
            tensor = tensor.pin_memory()  # so that the copy need not be waited for
        return tensor.to(self.device, non_blocking=True).reshape(self.tasks, self.episodes, *tensor.shape[1:])

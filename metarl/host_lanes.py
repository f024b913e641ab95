"""Lanes over real environments: gymnasium's vector environments, with names for what goes wrong in them."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space
from jaxtyping import Int
from torch import Tensor

from metarl.errors import Divergence, EnvironmentFault, FamilyError, MetarlError
from metarl.families import ObserveTask, TaskFamily
from metarl.tasks import Tasks, number_of_tasks, task_at, task_vectors


class _Lane(gymnasium.Wrapper):
    """Names the lane in whatever its environment raises, and refuses observations of another shape."""

    def __init__(self, env: gymnasium.Env, family: TaskFamily, place: str) -> None:
        super().__init__(env)
        # Bounds may depend on the task; what must agree is the shape.
        self.observation_space = family.observation_space
        self._shape = family.observation_space.shape
        self._place = f"family '{family.name}', {place}"

    def reset(self, **arguments: Any) -> tuple[Any, dict]:
        try:
            observation, info = self.env.reset(**arguments)
        except Exception as error:
            raise EnvironmentFault(f"{self._place}: reset raised {type(error).__name__}: {error}") from error
        return self._checked(observation, "reset"), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict]:
        try:
            observation, reward, terminated, truncated, info = self.env.step(action)
        except Exception as error:
            raise EnvironmentFault(f"{self._place}: step raised {type(error).__name__}: {error}") from error
        return self._checked(observation, "step"), reward, terminated, truncated, info

    def _checked(self, observation: Any, method: str) -> np.ndarray:
        array = np.asarray(observation)
        if array.shape != self._shape:
            raise EnvironmentFault(
                f"{self._place}: {method} returned an observation of shape {array.shape}; expected {self._shape}"
            )
        return array


class SyncLaneEnv(SyncVectorEnv):
    """gymnasium's synchronous vector environment over tasks x episodes lanes, re-tasked without rebuilding."""

    def __init__(self, family: TaskFamily, tasks: Tasks, episodes: int) -> None:
        self.family = family
        self.shape = (number_of_tasks(tasks), episodes)

        def lane(task: int, episode: int) -> _Lane:
            place = f"task {task}, episode lane {episode}"
            try:
                env = family.make(task_at(tasks, task))
            except MetarlError:
                raise
            except Exception as error:
                raise FamilyError(f"family '{family.name}', {place}: {type(error).__name__}: {error}") from error
            return _Lane(env, family, place)

        super().__init__(
            [lambda i=i, j=j: lane(i, j) for i in range(self.shape[0]) for j in range(episodes)],  # type: ignore[misc]
            autoreset_mode=AutoresetMode.DISABLED,
        )

    def set_tasks(self, tasks: Tasks) -> None:
        if number_of_tasks(tasks) != self.shape[0]:
            raise FamilyError(f"set_tasks: expected {self.shape[0]} tasks; got {number_of_tasks(tasks)}")
        for i, env in enumerate(self.envs):
            assert isinstance(env, _Lane)
            try:
                self.family.set_task(env.env, task_at(tasks, i // self.shape[1]))
            except MetarlError:
                raise
            except Exception as error:
                place = f"family '{self.family.name}', task {i // self.shape[1]}"
                raise FamilyError(f"{place}: set_task raised {type(error).__name__}: {error}") from error


class ObserveTaskVectorEnv(VectorWrapper):
    """Lanes of a family with the task, as a flat vector, appended to every observation."""

    def __init__(self, family: ObserveTask, env: VectorEnv, tasks: Tasks) -> None:
        super().__init__(env)
        self.family = family
        self.single_observation_space = family.observation_space
        self.observation_space = batch_space(family.observation_space, env.num_envs)
        self._note(tasks)

    def _note(self, tasks: Tasks) -> None:
        vectors = task_vectors(self.family.task_space, tasks)
        self._vectors = np.repeat(vectors, self.num_envs // len(vectors), 0)

    def set_tasks(self, tasks: Tasks) -> None:
        self.env.set_tasks(tasks)  # type: ignore[attr-defined]
        self._note(tasks)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        observations, info = self.env.reset(seed=seed, options=options)
        return self._with_task(observations), info

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict]:
        observations, *rest = self.env.step(actions)
        return self._with_task(observations), *rest  # type: ignore[return-value]

    def _with_task(self, observations: Any) -> np.ndarray:
        return np.concatenate([np.asarray(observations, np.float32), self._vectors], 1)


class HostLanes:
    """Lanes over any gymnasium vector environment with autoreset disabled, in task-major order."""

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
        observation, _ = self.env.reset(seed=list(self._seeds))  # type: ignore[arg-type]
        return self._tensor(observation)

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if self._ended.any():
            self.env.reset(options={"reset_mask": self._ended.copy()})
        finite = torch.isfinite(actions).reshape(self.tasks, -1).all(-1)
        if not bool(finite.all()):
            task = int((~finite).nonzero()[0])
            raise Divergence(f"policy's action is not finite at task {task}: the parameters diverged", task)
        array = actions.flatten(0, 1).cpu().numpy()
        space = self.env.single_action_space
        if isinstance(space, spaces.Box):
            array = np.clip(array, space.low, space.high).astype(space.dtype)
        elif isinstance(space, spaces.Discrete):
            array = array + space.start
        observation, reward, terminated, truncated, _ = self.env.step(array)
        self._ended = np.asarray(terminated | truncated)
        return (
            self._tensor(observation),
            self._tensor(reward),
            torch.as_tensor(self._ended, device=self.device).reshape(self.tasks, self.episodes),
        )

    def _tensor(self, array: Any) -> Tensor:
        # A copy: a vector environment may return the same buffer at every step.
        tensor = torch.tensor(np.asarray(array), device=self.device, dtype=self.dtype)
        return tensor.reshape(self.tasks, self.episodes, *tensor.shape[1:])

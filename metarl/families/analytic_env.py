"""Environments of analytic families: one batch of tensors for all tasks and episodes, and gymnasium environments."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Bool, Int
from torch import Tensor

from metarl.core.errors import EnvironmentFault
from metarl.core.params import tree_where
from metarl.core.prng import fold, uniform
from metarl.families.tasks import Task, Tasks, batch_tasks, number_of_tasks, task_vectors
from metarl.families.vector import TaskVectorEnv, environment_faults, mask_of


class Dynamics(Protocol):
    """The part of an analytic family that stepping needs; `metarl.families.AnalyticFamily` documents the functions."""

    name: str
    observation_space: spaces.Space
    action_space: spaces.Space
    task_space: spaces.Dict
    horizon: int
    initial_noise: int
    step_noise: int

    def initial(self, task: Mapping[str, Tensor], noise: Tensor) -> tuple[Any, Tensor]:
        """State and observation at time 0."""
        ...

    def step(
        self, task: Mapping[str, Tensor], state: Any, action: Tensor, noise: Tensor
    ) -> tuple[Any, Tensor, Tensor, Tensor]:
        """Next state, observation, reward and termination."""
        ...

    def succeeded(self, task: Mapping[str, Tensor], state: Any) -> Tensor | None:
        """Success of the state after a step."""
        ...

    def draw(self, task: Task, observations: np.ndarray) -> np.ndarray:
        """An RGB image of an episode so far."""
        ...


class AnalyticVecEnv:
    """Sub-environments of an analytic family, stepped as one batch on any device.

    Args:
        family: The dynamics.
        tasks: A batch of tasks.
        episodes: Sub-environments of each task.
        device: Device of all tensors.
        dtype: Floating-point type of observations and rewards.
        observe_task: Whether the task, as a flat vector, is appended to every observation.
    """

    torch_threads: int | None = None
    """Threads of torch while the environments step: None keeps all, since stepping is itself a torch computation."""

    def __init__(
        self,
        family: Dynamics,
        tasks: Tasks,
        episodes: int,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        observe_task: bool = False,
    ) -> None:
        self.family = family
        self.episodes = episodes
        self.device = torch.device(device)
        self.dtype = dtype
        self.observe_task = observe_task
        self._bounds: tuple[Tensor, Tensor] | None = None
        if isinstance(family.action_space, spaces.Box):
            low, high = (
                torch.as_tensor(x, dtype=dtype, device=device)
                for x in (family.action_space.low, family.action_space.high)
            )
            self._bounds = (low, high)
        self.succeeded: Bool[Tensor, "tasks episodes"] | None = None
        """Success of each sub-environment's last step; None in families that define no success."""
        self.set_tasks(tasks)

    def set_tasks(self, tasks: Tasks) -> None:
        """Change the tasks of all sub-environments; a reset must follow."""
        self.tasks = number_of_tasks(tasks)
        self._task: dict[str, Tensor] = {}
        for name, value in tasks.items():
            tensor = torch.as_tensor(np.asarray(value), device=self.device)
            if tensor.is_floating_point():
                tensor = tensor.to(self.dtype)
            self._task[name] = tensor[:, None]
        if self.observe_task:
            vectors = torch.as_tensor(task_vectors(self.family.task_space, tasks), dtype=self.dtype, device=self.device)
            self._task_vectors = vectors[:, None].expand(-1, self.episodes, -1)

    def reset(self, seeds: Int[Tensor, "tasks episodes"], mask: Bool[Tensor, "tasks episodes"] | None = None) -> Tensor:
        """Start episodes in all sub-environments, or in those of a mask; the others keep their state.

        Args:
            seeds: A seed for each sub-environment.
            mask: The sub-environments to reset.

        Returns:
            The observations of all sub-environments, shape (tasks, episodes, size).
        """
        noise = self._noise(seeds, 0, self.family.initial_noise)
        self._steps = 0
        with self._faults("initial"):
            state, observation = self.family.initial(self._task, noise)
            self._expect("an observation", observation, self.family.observation_space.shape)
        self._step_noise = self._noise(seeds, 0, 0)
        if mask is None:
            self._seeds = seeds
            self._time = torch.zeros_like(seeds)
            self.state, self._observation = state, observation
        else:
            self._seeds = torch.where(mask, seeds, self._seeds)
            self._time = torch.where(mask, 0, self._time)
            self.state = tree_where(mask, state, self.state)
            self._observation = tree_where(mask, observation, self._observation)
        return self._observed()

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Observations, rewards and terminations of all sub-environments; the caller enforces the horizon."""
        if self._bounds is not None:
            actions = torch.clamp(actions, *self._bounds)
        elif isinstance(self.family.action_space, spaces.Discrete):
            actions = actions + int(self.family.action_space.start)
        if self.family.step_noise:
            self._time = self._time + 1
            self._step_noise = self._noise(self._seeds, self._time, self.family.step_noise)
        noise = self._step_noise
        self._steps += 1
        with self._faults("step"):
            self.state, self._observation, reward, terminated = self.family.step(self._task, self.state, actions, noise)
            self._expect("an observation", self._observation, self.family.observation_space.shape)
            self._expect("rewards", reward, ())
            self._expect("terminations", terminated, (), torch.bool)
        with self._faults("succeeded"):
            self.succeeded = self.family.succeeded(self._task, self.state)
            if self.succeeded is not None:
                self._expect("successes", self.succeeded, (), torch.bool)
        return self._observed(), reward.to(self.dtype), terminated

    def _faults(self, function: str) -> AbstractContextManager[None]:
        return environment_faults(f"family '{self.family.name}'", function, self._steps)

    def _expect(self, what: str, value: Any, shape: Any, dtype: torch.dtype | None = None) -> None:
        """Raise EnvironmentFault unless the value is a tensor (tasks, episodes, *shape) of the expected dtype."""
        expected = (self.tasks, self.episodes, *shape)
        found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        if found != expected or (dtype is not None and value.dtype != dtype):
            kind = "" if dtype is None else f" and type {dtype}; got {getattr(value, 'dtype', 'none')}"
            place = f"family '{self.family.name}': {what} of shape {found} at step {self._steps}"
            raise EnvironmentFault(f"{place}; expected {expected}{kind}")

    def _observed(self) -> Tensor:
        if not self.observe_task:
            return self._observation.to(self.dtype)
        return torch.cat([self._observation.to(self.dtype), self._task_vectors], -1)

    def close(self) -> None:
        """No-op; other vector environments release processes or simulators here."""

    def _noise(self, seeds: Tensor, time: Tensor | int, components: int) -> Tensor:
        if components == 0:
            return torch.empty((*seeds.shape, 0), dtype=self.dtype, device=self.device)
        at_time = fold(seeds, time)
        drawn = uniform(fold(at_time[..., None], torch.arange(components, device=self.device))).to(self.dtype)
        return drawn.clamp(max=1 - torch.finfo(self.dtype).eps / 2)  # since the cast may round up to one


def _raw(action: Any, vec_env: AnalyticVecEnv) -> Tensor:
    """An action of the action space as a policy output: discrete actions are counted from zero."""
    tensor = torch.as_tensor(np.asarray(action), device=vec_env.device)
    space = vec_env.family.action_space
    if isinstance(space, spaces.Discrete):
        return tensor - int(space.start)
    return tensor.to(vec_env.dtype)


class AnalyticEnv(gymnasium.Env):
    """One environment of an analytic family with the interface of gymnasium."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012 (gymnasium's own declaration)

    def __init__(self, family: Dynamics, task: Task, *, render_mode: str | None = None) -> None:
        self.family = family
        self.render_mode = render_mode
        self.observation_space = family.observation_space
        self.action_space = family.action_space
        self._vec_env = AnalyticVecEnv(family, batch_tasks([task]), 1)
        self.task = task
        self._history: list[np.ndarray] = []

    def set_task(self, task: Task) -> None:
        """Change the task; a reset must follow."""
        self.task = task
        self._vec_env.set_tasks(batch_tasks([task]))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """Start an episode."""
        super().reset(seed=seed)
        if seed is None:
            seed = int(self.np_random.integers(2**62))
        observation = self._vec_env.reset(torch.tensor([[seed]]))[0, 0].numpy().copy()
        self._steps = 0
        self._history = [observation]
        return observation, {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        """One step; truncated at the family's horizon."""
        observation, reward, terminated = self._vec_env.step(_raw(action, self._vec_env)[None, None])
        self._steps += 1
        single = observation[0, 0].numpy().copy()
        self._history.append(single)
        ended = bool(terminated)
        successes = self._vec_env.succeeded
        info = {} if successes is None else {"success": bool(successes)}
        return single, float(reward), ended, not ended and self._steps >= self.family.horizon, info

    def render(self) -> np.ndarray | None:  # type: ignore[override]
        """The family's image of the episode so far; None without a render mode."""
        if self.render_mode is None:
            return None
        return self.family.draw(self.task, np.stack(self._history))


class AnalyticVectorEnv(TaskVectorEnv):
    """Sub-environments of an analytic family with the vector interface of gymnasium, in NumPy.

    Rollouts use `batch`, the same sub-environments on tensors, which avoids the conversion.

    Args:
        family: The dynamics.
        tasks: A batch of tasks.
        episodes: Sub-environments of each task.
        with_task: Space of the observations with the task appended; None if the task is not observed.
    """

    def __init__(
        self,
        family: Dynamics,
        tasks: Tasks,
        episodes: int,
        *,
        with_task: spaces.Space | None = None,
    ) -> None:
        super().__init__(with_task or family.observation_space, family.action_space, tasks, episodes)
        self.family = family
        self.batch = AnalyticVecEnv(family, tasks, episodes, observe_task=with_task is not None)
        self._steps = np.zeros(self.num_envs, np.int64)

    def set_tasks(self, tasks: Tasks) -> None:
        """Change the tasks of all sub-environments; a reset must follow."""
        self.check_tasks(tasks)
        self.batch.set_tasks(tasks)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:  # type: ignore[override]
        """Start episodes in all sub-environments, or in those of `options["reset_mask"]`."""
        mask = mask_of(options)
        super().reset(seed=seed if isinstance(seed, int) else None)
        each = self.seeds_of(seed) or self.np_random.integers(2**62, size=self.num_envs).tolist()
        device = self.batch.device
        seeds = torch.tensor([s or 0 for s in each], dtype=torch.int64, device=device).reshape(self.shape)
        started = None if mask is None else torch.as_tensor(mask, device=device).reshape(self.shape)
        observation = self.batch.reset(seeds, started)
        self._steps = np.where(True if mask is None else mask, 0, self._steps)
        return observation.flatten(0, 1).cpu().numpy(), {}

    def step(self, actions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict]:  # type: ignore[override]
        """One step of all sub-environments; truncated at the family's horizon."""
        batched = _raw(actions, self.batch)
        batched = batched.reshape(*self.shape, *batched.shape[1:])
        observation, reward, terminated = (x.flatten(0, 1).cpu().numpy() for x in self.batch.step(batched))
        self._steps = self._steps + 1
        truncated = ~terminated & (self._steps >= self.family.horizon)
        successes = self.batch.succeeded
        info = {} if successes is None else {"success": successes.flatten().cpu().numpy()}
        return observation, reward, terminated, truncated, info

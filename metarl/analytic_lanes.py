"""Lanes of analytic families: all tasks and episodes as one batch of tensors, and as gymnasium environments."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from jaxtyping import Bool, Int
from torch import Tensor

from metarl.errors import EnvironmentFault, FamilyError, MetarlError
from metarl.families import AnalyticFamily
from metarl.randomness import fold, uniform
from metarl.tasks import Task, Tasks, number_of_tasks, task_vectors


class AnalyticLanes:
    """Lanes of an analytic family, stepped as one batch on any device."""

    torch_threads: int | None = None
    """All that torch has: the lanes are tensors themselves."""

    def __init__(
        self,
        family: AnalyticFamily,
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
        """Which lanes' last step was a success; None in families that know none."""
        self.set_tasks(tasks)

    def set_tasks(self, tasks: Tasks) -> None:
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
        """Start every lane, or those in `mask`; the rest keep their state. Returns all observations."""
        noise = self._noise(seeds, 0, self.family.initial_noise)
        self._steps = 0
        with self._naming("initial"):
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
            self.state = _select(mask, state, self.state)
            self._observation = _select(mask, observation, self._observation)
        return self._observed()

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Observations, rewards and terminations of all lanes; the horizon is the rollout's concern."""
        if self._bounds is not None:
            actions = torch.clamp(actions, *self._bounds)
        elif isinstance(self.family.action_space, spaces.Discrete):
            actions = actions + int(self.family.action_space.start)
        if self.family.step_noise:
            self._time = self._time + 1
            self._step_noise = self._noise(self._seeds, self._time, self.family.step_noise)
        noise = self._step_noise
        self._steps += 1
        with self._naming("step"):
            self.state, self._observation, reward, terminated = self.family.step(self._task, self.state, actions, noise)
            self._expect("an observation", self._observation, self.family.observation_space.shape)
            self._expect("rewards", reward, ())
            self._expect("terminations", terminated, (), torch.bool)
        with self._naming("succeeded"):
            self.succeeded = self.family.succeeded(self._task, self.state)
            if self.succeeded is not None:
                self._expect("successes", self.succeeded, (), torch.bool)
        return self._observed(), reward.to(self.dtype), terminated

    @contextmanager
    def _naming(self, function: str) -> Iterator[None]:
        """Name the function of the family in whatever it raises."""
        try:
            yield
        except MetarlError:
            raise
        except Exception as error:
            raised = f"{function} raised {type(error).__name__}: {error} (step {self._steps})"
            raise EnvironmentFault(f"family '{self.family.name}': {raised}") from error

    def _expect(self, what: str, value: Any, shape: Any, dtype: torch.dtype | None = None) -> None:
        """Raise EnvironmentFault for what is not a tensor (tasks, episodes, *shape), or not of the type."""
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
        """Nothing to release; there for symmetry with lanes over real environments."""

    def _noise(self, seeds: Tensor, time: Tensor | int, components: int) -> Tensor:
        if components == 0:
            return torch.empty((*seeds.shape, 0), dtype=self.dtype, device=self.device)
        at_time = fold(seeds, time)
        drawn = uniform(fold(at_time[..., None], torch.arange(components, device=self.device))).to(self.dtype)
        return drawn.clamp(max=1 - torch.finfo(self.dtype).eps / 2)  # a rounded cast may reach one


def _raw(action: Any, lanes: AnalyticLanes) -> Tensor:
    """An action of the action space as the policy output that stands for it: lanes count choices from zero."""
    tensor = torch.as_tensor(np.asarray(action), device=lanes.device)
    space = lanes.family.action_space
    if isinstance(space, spaces.Discrete):
        return tensor - int(space.start)
    return tensor.to(lanes.dtype)


def _select(mask: Tensor, new: Any, old: Any) -> Any:
    if isinstance(new, dict):
        return {name: _select(mask, new[name], old[name]) for name in new}
    return torch.where(mask.reshape(*mask.shape, *[1] * (new.ndim - mask.ndim)), new, old)


class AnalyticEnv(gymnasium.Env):
    """One lane of an analytic family as an ordinary Gymnasium environment."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012 (gymnasium's own declaration)

    def __init__(self, family: AnalyticFamily, task: Task, *, render_mode: str | None = None) -> None:
        self.family = family
        self.render_mode = render_mode
        self.observation_space = family.observation_space
        self.action_space = family.action_space
        self._lanes = AnalyticLanes(family, _one(task), 1)
        self.task = task
        self._history: list[np.ndarray] = []

    def set_task(self, task: Task) -> None:
        self.task = task
        self._lanes.set_tasks(_one(task))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        if seed is None:
            seed = int(self.np_random.integers(2**62))
        observation = self._lanes.reset(torch.tensor([[seed]]))[0, 0].numpy().copy()
        self._steps = 0
        self._history = [observation]
        return observation, {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        observation, reward, terminated = self._lanes.step(_raw(action, self._lanes)[None, None])
        self._steps += 1
        single = observation[0, 0].numpy().copy()
        self._history.append(single)
        ended = bool(terminated)
        successes = self._lanes.succeeded
        info = {} if successes is None else {"success": bool(successes)}
        return single, float(reward), ended, not ended and self._steps >= self.family.horizon, info

    def render(self) -> np.ndarray | None:  # type: ignore[override]
        if self.render_mode is None:
            return None
        return self.family.draw(self.task, np.stack(self._history))


class AnalyticVectorEnv(VectorEnv):
    """Gymnasium's vector interface, in NumPy, to the same batch; rollouts use `lanes` and skip the conversion."""

    metadata = {"autoreset_mode": AutoresetMode.DISABLED}  # noqa: RUF012

    def __init__(
        self,
        family: AnalyticFamily,
        tasks: Tasks,
        episodes: int,
        *,
        observe_task: bool = False,
    ) -> None:
        self.family = family
        self.lanes = AnalyticLanes(family, tasks, episodes, observe_task=observe_task)
        self.num_envs = number_of_tasks(tasks) * episodes
        self._steps = np.zeros(self.num_envs, np.int64)
        if observe_task:
            from metarl.families import ObserveTask

            self.single_observation_space = ObserveTask(family).observation_space
        else:
            self.single_observation_space = family.observation_space
        self.single_action_space = family.action_space
        self.observation_space = gymnasium.vector.utils.batch_space(self.single_observation_space, self.num_envs)
        self.action_space = gymnasium.vector.utils.batch_space(self.single_action_space, self.num_envs)

    def set_tasks(self, tasks: Tasks) -> None:
        if number_of_tasks(tasks) != self.lanes.tasks:
            raise FamilyError(f"set_tasks: expected {self.lanes.tasks} tasks; got {number_of_tasks(tasks)}")
        self.lanes.set_tasks(tasks)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:  # type: ignore[override]
        mask = None if options is None else options.get("reset_mask")
        super().reset(seed=seed if isinstance(seed, int) else None)
        if seed is None:
            seed = self.np_random.integers(2**62, size=self.num_envs).tolist()
        elif isinstance(seed, int):
            seed = [seed + i for i in range(self.num_envs)]
        shape = (self.lanes.tasks, self.lanes.episodes)
        seeds = torch.tensor(
            [0 if s is None else s for s in seed], dtype=torch.int64, device=self.lanes.device
        ).reshape(shape)
        lanes = None if mask is None else torch.as_tensor(mask, device=self.lanes.device).reshape(shape)
        observation = self.lanes.reset(seeds, lanes)
        self._steps = np.where(True if mask is None else mask, 0, self._steps)
        return observation.flatten(0, 1).cpu().numpy(), {}

    def step(self, actions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict]:  # type: ignore[override]
        batched = _raw(actions, self.lanes)
        batched = batched.reshape(self.lanes.tasks, self.lanes.episodes, *batched.shape[1:])
        observation, reward, terminated = (x.flatten(0, 1).cpu().numpy() for x in self.lanes.step(batched))
        self._steps = self._steps + 1
        truncated = ~terminated & (self._steps >= self.family.horizon)
        successes = self.lanes.succeeded
        info = {} if successes is None else {"success": successes.flatten().cpu().numpy()}
        return observation, reward, terminated, truncated, info


def _one(task: Task) -> Tasks:
    return {name: np.asarray(value)[None] for name, value in task.items()}

"""All lanes of a MuJoCo family stepped by one call of `mujoco.rollout`, on its own pool of threads."""

from __future__ import annotations

import os
from typing import Any

import gymnasium
import mujoco
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from mujoco import rollout

from metarl.errors import FamilyError
from metarl.mujoco_family import Motion, MujocoFamily, MujocoTaskEnv
from metarl.tasks import Tasks, number_of_tasks, task_at


def usable_cores() -> int:
    """Cores that this process may run on. The pool's threads sleep between calls, so torch may have them too."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class MujocoVectorEnv(VectorEnv):
    """tasks x episodes lanes in task-major order; every lane is `make(task)`, whatever the number of threads."""

    metadata = {"autoreset_mode": AutoresetMode.DISABLED}  # noqa: RUF012 (gymnasium's own declaration)

    def __init__(self, family: MujocoFamily, tasks: Tasks, episodes: int, *, threads: int | None = None) -> None:
        self.family = family
        self.shape = (number_of_tasks(tasks), episodes)
        self.num_envs = lanes = self.shape[0] * episodes
        self.single_observation_space = family.observation_space
        self.single_action_space = family.action_space
        self.observation_space = gymnasium.vector.utils.batch_space(self.single_observation_space, lanes)
        self.action_space = gymnasium.vector.utils.batch_space(self.single_action_space, lanes)
        model, threads = family.model, threads or usable_cores()
        self._starter = MujocoTaskEnv(family, task_at(tasks, 0), None)
        """Draws initial states, which are then those of gymnasium's own reset."""
        self._pool = rollout.Rollout(nthread=threads)
        self._data = [mujoco.MjData(model) for _ in range(threads)]
        size = mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_FULLPHYSICS.value)
        self._state = np.zeros((lanes, size))
        self._sensors = np.zeros((lanes, model.nsensordata))
        self._states = np.empty((lanes, family.frame_skip, size))
        self._readings = np.empty((lanes, family.frame_skip, model.nsensordata))
        self._observations = np.zeros((lanes, *self.single_observation_space.shape))
        self._steps = np.zeros(lanes, np.int64)
        self._position = slice(1, 1 + model.nq)  # a state begins with the time
        self._velocity = slice(1 + model.nq, 1 + model.nq + model.nv)
        self.set_tasks(tasks)

    def set_tasks(self, tasks: Tasks) -> None:
        if number_of_tasks(tasks) != self.shape[0]:
            raise FamilyError(f"set_tasks: expected {self.shape[0]} tasks; got {number_of_tasks(tasks)}")
        models = [self.family.model_for(task_at(tasks, i)) for i in range(self.shape[0])]
        self._models = [model for model in models for _ in range(self.shape[1])]
        self._tasks = {name: np.repeat(np.asarray(values), self.shape[1], 0) for name, values in tasks.items()}

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:  # type: ignore[override]
        """Start every lane, or those in the mask; unseeded lanes go on with the random numbers of the last one."""
        mask = None if options is None else options.get("reset_mask")
        if isinstance(seed, int):
            seed = [seed + i for i in range(self.num_envs)]
        for lane in range(self.num_envs) if mask is None else np.flatnonzero(mask):
            self._observations[lane], _ = self._starter.reset(seed=None if seed is None else seed[lane])
            data = self._starter.physics.data
            self._state[lane] = 0
            self._state[lane, self._position], self._state[lane, self._velocity] = data.qpos, data.qvel
            self._sensors[lane] = data.sensordata
            self._steps[lane] = 0
        return self._observations.copy(), {}

    def step(self, actions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict]:  # type: ignore[override]
        control = self.family.control(actions)
        before, sensors_before = self._state[:, self._position].copy(), self._sensors
        self._pool.rollout(
            self._models,
            self._data,
            self._state,
            np.repeat(control[:, None], self.family.frame_skip, 1),
            nstep=self.family.frame_skip,
            skip_checks=True,
            state=self._states,
            sensordata=self._readings,
        )
        self._state, self._sensors = self._states[:, -1].copy(), self._readings[:, -1].copy()
        position, velocity = self._state[:, self._position], self._state[:, self._velocity]
        motion = Motion(before, position, velocity, control, sensors_before, self._sensors)
        self._observations = self.family.observe(motion)
        self._steps += 1
        terminated = self.family.ended(motion)
        truncated = ~terminated & (self._steps >= self.family.horizon)
        reward, info = self.family.reward(self._tasks, motion), self.family.told(self._tasks, motion)
        return self._observations.copy(), reward, terminated, truncated, info

    def close(self, **arguments: Any) -> None:
        self._pool.close()
        self._starter.close()
        super().close(**arguments)

"""Families on MuJoCo: gymnasium's environments with another reward, observation and termination, in one batch.

A family is a set of functions of a `Motion` of any number of sub-environments. `make` computes the motion with one of
gymnasium's environments, `make_vec` with `mujoco.rollout`. Both use the same model with the solver's warm start
disabled, since a rollout does not keep it between calls.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from functools import cached_property
from importlib.util import find_spec
from typing import Any, ClassVar, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from gymnasium.wrappers import TimeLimit
from jaxtyping import Bool, Float

from metarl.core.errors import FamilyError
from metarl.core.launch import usable_cores
from metarl.families.family import TaskFamily
from metarl.families.tasks import Task, Tasks, batch_tasks, task_at
from metarl.families.vector import TaskVectorEnv, mask_of, wrapper_of

CONTACT_FIELDS = 9
"""Numbers per contact sensor: force, torque and point of application, three each."""


class Motion(NamedTuple):
    """One step of every sub-environment; after a reset `before` equals `position` and `control` is zero.

    `sensors` were read at the start of the step's last substep, `sensors_before` at that of the previous step.
    """

    before: Float[np.ndarray, "envs position"]
    position: Float[np.ndarray, "envs position"]
    velocity: Float[np.ndarray, "envs velocity"]
    control: Float[np.ndarray, "envs actuator"]
    sensors_before: Float[np.ndarray, "envs sensor"]
    sensors: Float[np.ndarray, "envs sensor"]

    @property
    def center_of_mass(self) -> Float[np.ndarray, "envs 3"]:
        """Centre of mass of the whole body; needs `senses_contacts`."""
        return self.sensors[:, :3]

    @property
    def contact_forces(self) -> Float[np.ndarray, "envs body 6"]:
        """Torque about the centre of mass and force on each body except the world, as in `cfrc_ext`."""
        readings = self.sensors[:, 3:].reshape(len(self.sensors), -1, CONTACT_FIELDS)
        force, torque, point = readings[..., :3], readings[..., 3:6], readings[..., 6:]
        about = torque + np.cross(point - self.center_of_mass[:, None], force)
        return -np.concatenate([about, force], -1)


class MujocoFamily(TaskFamily):
    """A family over one of gymnasium's MuJoCo environments.

    Policy actions are clipped to [-action_bound, action_bound] and mapped linearly to the actuators' bounds.

    Raises:
        FamilyError: MuJoCo is not installed.
    """

    env_id: ClassVar[str]
    """Registered id of gymnasium's environment."""
    env_options: ClassVar[Mapping[str, Any]] = {}
    """Keyword arguments of its constructor."""
    senses_contacts: ClassVar[bool] = False
    """Whether motions contain the centre of mass and the contact forces, which costs time."""
    action_bound: float = 1.0
    """Bound of the policy's actions."""
    substep_seconds: ClassVar[float | None] = None
    """Time step of the solver in seconds; None for that of gymnasium's model."""

    def __init__(self) -> None:
        if find_spec("mujoco") is None or find_spec("imageio") is None:
            raise FamilyError(f"family '{self.name}': needs MuJoCo; pip install 'metarl-toolkit[mujoco]'")

    @abstractmethod
    def observe(self, motion: Motion) -> Float[np.ndarray, "envs observation"]:
        """Observation of the policy after the step."""

    @abstractmethod
    def reward(self, tasks: Tasks, motion: Motion) -> Float[np.ndarray, " envs"]:
        """Reward of the step; `tasks` has one entry for each sub-environment."""

    def ended(self, motion: Motion) -> Bool[np.ndarray, " envs"]:
        """Termination after the step; never, unless a subclass overrides this."""
        return np.zeros(len(motion.position), bool)

    def succeeded(self, tasks: Tasks, motion: Motion) -> Bool[np.ndarray, " envs"] | None:
        """Success of the step; None in families that define no success."""
        return None

    def initial_state(self, physics: Any) -> tuple[np.ndarray, np.ndarray] | None:
        """Position and velocity at the start of an episode, drawn by `physics.np_random`; None for gymnasium's own."""
        return None

    def info(self, tasks: Tasks, motion: Motion) -> dict[str, Any]:
        """Entries of a step's info."""
        successes = self.succeeded(tasks, motion)
        return {} if successes is None else {"success": successes}

    def model_for(self, task: Task) -> Any:
        """MuJoCo model of a task, not to be changed; families whose tasks differ in physics return copies."""
        return self.model

    def make_base_env(self, model: Any = None, render_mode: str | None = None) -> Any:
        """gymnasium's environment, unwrapped.

        Args:
            model: Replaces the model that the environment loads.
            render_mode: Render mode of the environment.
        """
        entry = gymnasium.spec(self.env_id).entry_point
        creator: Any = gymnasium.envs.registration.load_env_creator(entry) if isinstance(entry, str) else entry
        if model is not None:
            import mujoco

            ours = {"_initialize_simulation": lambda env: (model, mujoco.MjData(model))}
            creator = type(creator.__name__, (creator,), ours)
        return creator(render_mode=render_mode, **self.env_options)

    @cached_property
    def prototype(self) -> Any:
        """gymnasium's environment, from which model and frame skip are read."""
        return self.make_base_env()

    @cached_property
    def model(self) -> Any:
        """gymnasium's model with the warm start disabled, and with sensors if the family needs them."""
        import mujoco

        spec = mujoco.MjSpec.from_file(self.prototype.fullpath)
        if self.senses_contacts:
            _add_sensors(spec)
        model = spec.compile()
        model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_WARMSTART
        if self.substep_seconds is not None:
            model.opt.timestep = self.substep_seconds
        return model

    @property
    def frame_skip(self) -> int:
        """Substeps of the solver in a step."""
        return int(self.prototype.frame_skip)

    @property
    def step_seconds(self) -> float:
        """Simulated seconds of a step."""
        return float(self.model.opt.timestep * self.frame_skip)

    @cached_property
    def observation_space(self) -> spaces.Box:  # type: ignore[override]
        """Unbounded Box of the size of an observation."""
        import mujoco

        data = mujoco.MjData(self.model)
        motion = motion_after_reset(data)
        return spaces.Box(-np.inf, np.inf, self.observe(motion).shape[1:], np.float64)

    @cached_property
    def action_space(self) -> spaces.Box:  # type: ignore[override]
        """Box with bounds +-action_bound and one entry for each actuator."""
        return spaces.Box(-self.action_bound, self.action_bound, (self.model.nu,), np.float32)

    def control(self, actions: Float[np.ndarray, "envs action"]) -> Float[np.ndarray, "envs actuator"]:
        """Actions clipped and mapped to the actuators' bounds."""
        low, high = self.model.actuator_ctrlrange.T
        share = np.clip(np.asarray(actions, np.float64) / self.action_bound, -1, 1)
        return low + (share + 1) / 2 * (high - low)

    def make(self, task: Task, *, render_mode: str | None = None) -> gymnasium.Env:
        """One environment with this task, a `MujocoTaskEnv` with a time limit."""
        return TimeLimit(MujocoTaskEnv(self, task, render_mode), self.horizon)

    def make_vec(self, tasks: Tasks, episodes: int) -> VectorEnv:
        """All sub-environments in one `MujocoVectorEnv`."""
        return MujocoVectorEnv(self, tasks, episodes)

    def set_task(self, env: gymnasium.Env, task: Task) -> None:
        """Change the task of an environment; a reset must follow."""
        wrapper_of(env, MujocoTaskEnv).set_task(task)


class MujocoTaskEnv(gymnasium.Wrapper):
    """gymnasium's environment with the reward, observation and termination of a family."""

    spec = None  # type: ignore[assignment]

    def __init__(self, family: MujocoFamily, task: Task, render_mode: str | None) -> None:
        self._model = family.model_for(task)
        self.physics: Any = family.make_base_env(self._model, render_mode)
        super().__init__(self.physics)
        self.family = family
        self.observation_space = family.observation_space
        self.action_space = family.action_space
        self.set_task(task)

    def set_task(self, task: Task) -> None:
        """Change the task, and the physics if it depends on the task."""
        self.tasks = batch_tasks([task])
        model = self.family.model_for(task)
        if model is not self._model:
            import mujoco

            self._model = model
            self.physics.model, self.physics.data = model, mujoco.MjData(model)
            self.physics.mujoco_renderer.model, self.physics.mujoco_renderer.data = model, self.physics.data

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """Start an episode from the family's initial state, or from gymnasium's."""
        self.env.reset(seed=seed)
        drawn = self.family.initial_state(self.physics)
        if drawn is not None:
            self.physics.set_state(*drawn)
        return self.family.observe(motion_after_reset(self.physics.data))[0], {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        """One step by gymnasium's environment; never truncated."""
        data = self.physics.data
        control = self.family.control(np.asarray(action)[None])
        before, sensors_before = np.array(data.qpos)[None], np.array(data.sensordata)[None]
        self.env.step(control[0])
        position, velocity, sensors = (np.array(row)[None] for row in (data.qpos, data.qvel, data.sensordata))
        motion = Motion(before, position, velocity, control, sensors_before, sensors)
        reward = self.family.reward(self.tasks, motion)
        info = {name: bool(values[0]) for name, values in self.family.info(self.tasks, motion).items()}
        return self.family.observe(motion)[0], float(reward[0]), bool(self.family.ended(motion)[0]), False, info


def motion_after_reset(data: Any) -> Motion:
    """The motion of one environment after a reset."""
    rows = (data.qpos, data.qpos, data.qvel, np.zeros(len(data.ctrl)), data.sensordata, data.sensordata)
    return Motion(*(np.array(row)[None] for row in rows))


def _add_sensors(spec: Any) -> None:
    """Add sensors of the whole body's centre of mass, and of the net contact force on every body except the world."""
    import mujoco

    kinds = mujoco.mjtSensor
    if not hasattr(kinds, "mjSENS_CONTACT"):
        raise FamilyError(f"MuJoCo {mujoco.__version__} has no contact sensors; pip install 'mujoco>=3.3.5'")
    body = mujoco.mjtObj.mjOBJ_BODY
    for number, part in enumerate(spec.bodies):
        part.name = part.name or f"body {number}"
    bodies = spec.bodies[1:]
    spec.add_sensor(name="center of mass", type=kinds.mjSENS_SUBTREECOM, objtype=body, objname=bodies[0].name)
    force, torque, point = 1, 2, 4  # mjtConDataField, which Python does not export
    for part in bodies:
        sensor = spec.add_sensor(
            name=f"contact of {part.name}", type=kinds.mjSENS_CONTACT, objtype=body, objname=part.name
        )
        net_force, slots = 3, 1
        sensor.intprm[:3] = [1 << force | 1 << torque | 1 << point, net_force, slots]


def actions_in_words(bound: float) -> str:
    """Description of the action scaling, for a family's protocol.

    Args:
        bound: The family's `action_bound`.
    """
    return f"clipped to [-{bound:g}, {bound:g}], mapped to the actuators' bounds"


class MujocoVectorEnv(TaskVectorEnv):
    """All sub-environments stepped by one call of `mujoco.rollout`, on its own thread pool.

    Each sub-environment behaves like `family.make(task)`, for any number of threads.

    Args:
        family: The family.
        tasks: A batch of tasks.
        episodes: Sub-environments of each task.
        threads: Size of the pool (default: one thread for each usable core; they sleep between calls, so torch may use
            the same cores).
    """

    def __init__(self, family: MujocoFamily, tasks: Tasks, episodes: int, *, threads: int | None = None) -> None:
        import mujoco
        from mujoco import rollout

        super().__init__(family.observation_space, family.action_space, tasks, episodes)
        self.family, envs = family, self.num_envs
        model, threads = family.model, threads or usable_cores()
        self._starter = MujocoTaskEnv(family, task_at(tasks, 0), None)
        """Environment that draws initial states, so that they are those of `make`."""
        self._pool = rollout.Rollout(nthread=threads)
        self._data = [mujoco.MjData(model) for _ in range(threads)]
        size = mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_FULLPHYSICS.value)
        self._state = np.zeros((envs, size))
        self._sensors = np.zeros((envs, model.nsensordata))
        self._states = np.empty((envs, family.frame_skip, size))
        self._readings = np.empty((envs, family.frame_skip, model.nsensordata))
        self._observations = np.zeros((envs, *family.observation_space.shape))
        self._steps = np.zeros(envs, np.int64)
        self._position = slice(1, 1 + model.nq)  # a state begins with the time
        self._velocity = slice(1 + model.nq, 1 + model.nq + model.nv)
        self.set_tasks(tasks)

    def set_tasks(self, tasks: Tasks) -> None:
        """Change the tasks of all sub-environments; a reset must follow."""
        self.check_tasks(tasks)
        models = [self.family.model_for(task_at(tasks, i)) for i in range(self.shape[0])]
        self._models = [model for model in models for _ in range(self.shape[1])]
        self._tasks = {name: np.repeat(np.asarray(values), self.shape[1], 0) for name, values in tasks.items()}

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:  # type: ignore[override]
        """Start episodes in all sub-environments, or in those of `options["reset_mask"]`.

        Without seeds the random numbers continue from the previous reset.
        """
        mask, seed = mask_of(options), self.seeds_of(seed)
        for env_index in range(self.num_envs) if mask is None else np.flatnonzero(mask):
            self._observations[env_index], _ = self._starter.reset(seed=None if seed is None else seed[env_index])
            data = self._starter.physics.data
            self._state[env_index] = 0
            self._state[env_index, self._position], self._state[env_index, self._velocity] = data.qpos, data.qvel
            self._sensors[env_index] = data.sensordata
            self._steps[env_index] = 0
        return self._observations.copy(), {}

    def step(self, actions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict]:  # type: ignore[override]
        """One step of all sub-environments; truncated at the family's horizon."""
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
        reward, info = self.family.reward(self._tasks, motion), self.family.info(self._tasks, motion)
        return self._observations.copy(), reward, terminated, truncated, info

    def close(self, **arguments: Any) -> None:
        """Close the thread pool and the environment of initial states."""
        self._pool.close()
        self._starter.close()
        super().close(**arguments)

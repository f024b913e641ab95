"""Families declared from any Gymnasium environment, without a subclass."""

from __future__ import annotations

import copy
import inspect
import numbers
import sys
from collections.abc import Callable
from functools import cached_property
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import FlattenObservation, RescaleAction, TimeLimit

from metarl.core.errors import FamilyError, MetarlError, in_words, nearest
from metarl.families.family import TaskFamily
from metarl.families.splits import Splits, UniformSplits
from metarl.families.tasks import Task, task_at
from metarl.families.vector import wrapper_of


class _TaskHolder(gymnasium.Wrapper):
    """Outermost wrapper of a declared environment: applies a task, and rebuilds the environment if necessary."""

    spec = None  # type: ignore[assignment]
    """None, since a registered id does not contain the task and could not rebuild the environment."""

    def __init__(self, family: DeclaredFamily, task: Task, render_mode: str | None) -> None:
        super().__init__(family.build(task, render_mode))
        self.family = family
        self._render_mode = render_mode
        family.apply(self, task)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """One step; a reward of NumPy becomes Python's number, since Stable-Baselines3 accepts no other."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        if isinstance(reward, np.number):
            reward = reward.item()
        return observation, reward, terminated, truncated, info

    def rebuild(self, task: Task) -> None:
        self.env.close()
        self.env = self.family.build(task, self._render_mode)


class DeclaredFamily(TaskFamily):
    """A family over any Gymnasium environment; see `declare_family`."""

    _before: spaces.Space | None = None
    """Space of an observation before it is flattened, as the last environment had it."""

    declared_in: str | None = None
    """Name of the module that called `declare_family`."""

    def __init__(
        self,
        env: str | Callable[..., gymnasium.Env],
        task_space: spaces.Dict,
        *,
        horizon: int | None,
        train_space: spaces.Dict | None,
        splits: Splits | None,
        set_task: Callable[[gymnasium.Env, Task], None] | None,
        rescale_actions: bool,
        name: str | None,
    ) -> None:
        if not isinstance(task_space, spaces.Dict) or not task_space.spaces:
            raise FamilyError(
                f"task_space: expected a gymnasium.spaces.Dict with an entry a parameter; got {task_space!r}"
            )
        if isinstance(env, gymnasium.Env):
            raise FamilyError(f"env = {env}: an environment; expected a registered id, or a function that makes one")
        if not isinstance(env, str) and not callable(env):
            raise FamilyError(f"env = {env!r:.80}; expected a registered id, or a function that makes an environment")
        own_name = env if isinstance(env, str) else str(getattr(env, "__name__", "declared"))
        self.name = name or own_name
        self.task_space = task_space
        self.splits = splits or UniformSplits(task_space, train_space)
        self._env = env
        self._set_task = set_task
        self._rescale_actions = rescale_actions
        if horizon is not None or not isinstance(env, str):
            self._horizon: int | None = _whole_horizon(horizon, self.name)
        else:
            self._horizon = None
        self.protocol = {"actions": "scaled from [-1, 1] to the bounds, then clipped" if rescale_actions else "clipped"}

    @cached_property
    def _constructor(self) -> Callable[..., gymnasium.Env]:
        if not isinstance(self._env, str):
            return self._env
        try:
            spec = gymnasium.spec(self._env)
        except gymnasium.error.Error as error:
            raise FamilyError(f"family '{self.name}': {error}") from None
        creator = spec.entry_point
        return gymnasium.envs.registration.load_env_creator(creator) if isinstance(creator, str) else creator  # type: ignore[return-value]

    @cached_property
    def horizon(self) -> int:  # type: ignore[override]
        """The given horizon, or the time limit that is registered for the environment."""
        horizon = self._horizon
        if horizon is None:
            _ = self._constructor  # says so if there is no such id
            horizon = gymnasium.spec(self._env).max_episode_steps  # type: ignore[arg-type]
        return _whole_horizon(horizon, self.name)

    @cached_property
    def _prototype(self) -> gymnasium.Env:
        try:
            return self.make(self._first_task())
        except MetarlError:
            raise
        except Exception as error:
            raise FamilyError(f"family '{self.name}': {in_words(error)}") from error

    @property
    def observation_space(self) -> spaces.Space:  # type: ignore[override]
        """Observation space of the environment, flattened."""
        return self._prototype.observation_space

    @property
    def unflattened(self) -> spaces.Space | None:  # type: ignore[override]
        """Observation space of the environment, if it is flattened."""
        _ = self._prototype
        return self._before

    @property
    def action_space(self) -> spaces.Space:  # type: ignore[override]
        """Action space of the environment, rescaled if configured."""
        return self._prototype.action_space

    @cached_property
    def rebuilt_for(self) -> frozenset[str]:
        """Task entries that are given to the constructor; the others are set as attributes. Empty with `set_task`.

        An argument of the constructor that is an attribute as well is set as an attribute only if the constructor does
        nothing but store it. Otherwise what the constructor derives from it would not follow the task.
        """
        if self._set_task is not None:
            return frozenset()
        parameters = inspect.signature(self._constructor).parameters
        fixed = dict(gymnasium.spec(self._env).kwargs) if isinstance(self._env, str) else {}
        taken = {name: _plain(value) for name, value in self._first_task().items() if name in parameters}
        try:
            probe = self._constructor(**(fixed | taken))
        except Exception as error:
            raise FamilyError(f"family '{self.name}': its constructor raised {in_words(error)}") from error
        attributes = {name for name in self.task_space.spaces if hasattr(probe.unwrapped, name)}
        attributes -= {name for name in attributes & set(taken) if not self._is_stored(name, probe, fixed | taken)}
        probe.close()
        for name in self.task_space.spaces:
            if name not in parameters and name not in attributes:
                raise FamilyError(
                    f"family '{self.name}': '{name}' is neither an attribute nor a keyword argument of the environment"
                    f"{nearest(name, set(parameters) | {k for k in vars(probe.unwrapped) if not k.startswith('_')})}"
                )
        return frozenset(set(self.task_space.spaces) - attributes)

    @cached_property
    def _required(self) -> frozenset[str]:
        """Task entries without which the constructor cannot be called."""
        parameters = inspect.signature(self._constructor).parameters
        return frozenset(
            name
            for name in self.task_space.spaces
            if name in parameters and parameters[name].default is inspect.Parameter.empty
        )

    def _is_stored(self, name: str, probe: gymnasium.Env, arguments: dict[str, Any]) -> bool:
        """Whether the constructor only stores an argument, found by a second environment with another value of it."""
        source = copy.deepcopy(self.task_space.spaces[name])
        source.seed(0)
        drawn = (_plain(source.sample()) for _ in range(10))
        other = next((value for value in drawn if not _same(value, arguments[name])), None)
        if other is None:
            return False
        try:
            twin = self._constructor(**(arguments | {name: other}))
        except Exception:
            return False  # what is wrong with the value is said where an environment is made with it
        ours, theirs = ({**vars(env.unwrapped)} for env in (probe, twin))
        twin.close()
        stored = _same(ours.pop(name, None), arguments[name]) and _same(theirs.pop(name, None), other)
        return stored and ours.keys() == theirs.keys() and all(_same(ours[key], theirs[key]) for key in ours)

    def _first_task(self) -> Task:
        return task_at(self.splits.sample(1, self.splits.names[0], np.random.default_rng(0)), 0)

    def build(self, task: Task, render_mode: str | None = None) -> gymnasium.Env:
        """The environment inside the task wrapper, built with the task entries that its constructor needs."""
        arguments: dict[str, Any] = {name: _plain(task[name]) for name in self.rebuilt_for | self._required}
        if render_mode is not None:
            self._check_renders()
            arguments["render_mode"] = render_mode
        if isinstance(self._env, str):
            env = gymnasium.make(self._env, max_episode_steps=self.horizon, disable_env_checker=True, **arguments)
        else:
            env = TimeLimit(self._env(**arguments), self.horizon)
        if not (isinstance(env.observation_space, spaces.Box) and len(env.observation_space.shape) == 1):
            _check_flattenable(env.observation_space, self.name)
            self._before = env.observation_space
            env = FlattenObservation(env)
        actions = env.action_space
        if self._rescale_actions and isinstance(actions, spaces.Box) and actions.is_bounded():
            env = RescaleAction(env, np.float32(-1.0), np.float32(1.0))
        return env

    def _check_renders(self) -> None:
        """Raise FamilyError if the constructor cannot be given a render mode."""
        parameters = inspect.signature(self._constructor).parameters
        if "render_mode" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            return
        raise FamilyError(
            f"family '{self.name}': {getattr(self._constructor, '__name__', 'its constructor')} takes no render_mode; "
            "give it the parameter render_mode=None, and pass it on to the environment"
        )

    def apply(self, env: gymnasium.Env, task: Task) -> None:
        """Set the task entries that are attributes, or call the user's function."""
        if self._set_task is not None:
            self._set_task(env.unwrapped, task)
            return
        for name in self.task_space.spaces:
            if name not in self.rebuilt_for:
                setattr(env.unwrapped, name, _plain(task[name]))

    def make(self, task: Task, *, render_mode: str | None = None) -> gymnasium.Env:
        """One environment with this task."""
        return _TaskHolder(self, task, render_mode)

    def set_task(self, env: gymnasium.Env, task: Task) -> None:
        """Change the task of an environment; it is rebuilt if an entry is an argument of its constructor."""
        holder = wrapper_of(env, _TaskHolder)
        if self.rebuilt_for:
            holder.rebuild(task)
        self.apply(holder, task)

    def __getstate__(self) -> dict[str, Any]:
        # The prototype is an open environment; each worker process makes its own.
        return {name: value for name, value in self.__dict__.items() if name != "_prototype"}

    def close(self) -> None:
        """Close the environment that the spaces were read from."""
        if "_prototype" in self.__dict__:
            self._prototype.close()


def declare_family(
    env: str | Callable[..., gymnasium.Env],
    task_space: spaces.Dict,
    *,
    horizon: int | None = None,
    train_space: spaces.Dict | None = None,
    splits: Splits | None = None,
    set_task: Callable[[gymnasium.Env, Task], None] | None = None,
    rescale_actions: bool = True,
    name: str | None = None,
) -> DeclaredFamily:
    """Declare a family over a Gymnasium environment by the parameters that vary.

    Each entry of the task space is a keyword argument of the environment's constructor, or else an attribute of the
    unwrapped environment. An environment is built anew for an argument from which its constructor derives anything.
    Observations that are not flat vectors are flattened.

    Args:
        env: A registered id, or a constructor.
        task_space: The parameters that vary and their ranges.
        horizon: Time limit in steps (default: the registered one).
        train_space: Ranges of the training tasks, which are drawn uniformly (default: all of `task_space`). The rest of
            `task_space` is the out-of-distribution split.
        splits: Replaces the uniform splits.
        set_task: Called as `set_task(unwrapped_env, task)` instead of setting attributes, for environments with derived
            quantities (CartPole computes total masses when it is built).
        rescale_actions: Whether actions in [-1, 1] are scaled to the bounds of a bounded action space.
        name: Name of the family (default: that of the environment).

    Raises:
        FamilyError: The task space is not a Dict, or `train_space` does not fit it. Faults of the environment, such as
            an entry that is neither attribute nor argument, are raised when it is first made.

    Example:
        >>> gravity = spaces.Dict({"g": spaces.Box(5.0, 15.0, (), np.float32)})
        >>> family = declare_family("Pendulum-v1", gravity)
        >>> family.horizon, family.observation_space.shape
        (200, (3,))
        >>> family.close()
    """
    family = DeclaredFamily(
        env,
        task_space,
        horizon=horizon,
        train_space=train_space,
        splits=splits,
        set_task=set_task,
        rescale_actions=rescale_actions,
        name=name,
    )
    family.declared_in = sys._getframe(1).f_globals.get("__name__")
    return family


def _whole_horizon(horizon: Any, name: str) -> int:
    """The horizon as a Python integer; raises FamilyError if it is not a whole number of at least 1."""
    if isinstance(horizon, bool) or not isinstance(horizon, numbers.Integral) or horizon < 1:
        missing = "; give declare_family the time limit of an episode" if horizon is None else ""
        raise FamilyError(
            f"family '{name}': horizon = {horizon!r}; expected a whole number of steps of at least 1{missing}"
        )
    return int(horizon)


def _check_flattenable(space: spaces.Space, name: str) -> None:
    """Raise FamilyError, with the entry at fault, if a space of observations has no form as a flat vector."""
    if _is_flattenable(space):
        return
    if isinstance(space, spaces.Dict):
        entry = next(key for key, part in space.spaces.items() if not _is_flattenable(part))
        what = f"observation entry '{entry}' is a {type(space[entry]).__name__}"
        rest = [key for key, part in space.spaces.items() if _is_flattenable(part)]
        hint = f", or leave it out: gymnasium.wrappers.FilterObservation(env, {rest})"
    else:
        what, hint = f"observations are a {type(space).__name__}", ""
    raise FamilyError(f"family '{name}': {what}, which has no flat form; make numbers of it in a wrapper{hint}")


def _is_flattenable(space: spaces.Space) -> bool:
    try:
        return space.is_np_flattenable
    except NotImplementedError:  # as a space of one's own, and any dictionary with one, says it
        return False


def _same(a: Any, b: Any) -> bool:
    """Whether two values are certainly equal; objects without a comparison of their own are not."""
    if a is b:
        return True
    try:
        return type(a) is type(b) and np.shape(a) == np.shape(b) and bool(np.all(a == b))
    except Exception:
        return False


def _plain(value: Any) -> Any:
    """Scalars as Python numbers, since environments test `isinstance(x, float)`; arrays as copies."""
    return value.item() if isinstance(value, np.generic | np.ndarray) and np.ndim(value) == 0 else np.copy(value)

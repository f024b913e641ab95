"""A meta-trained policy: load, adapt, act, save."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from copy import copy
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import FlattenObservation

from metarl.adaptation.adapter import AdaptState, stack
from metarl.adaptation.collect import adapt
from metarl.adaptation.gradient import gradient_adapter
from metarl.adaptation.memory import MemoryAdapter
from metarl.adaptation.parameters import as_trained
from metarl.config.memory import Rl2Config
from metarl.config.run import RunConfig, TrainConfig, at_iteration
from metarl.config.validation import check_least, check_rates
from metarl.core.errors import FamilyError, in_python_words
from metarl.core.machine import DTYPES
from metarl.core.params import Params
from metarl.core.prng import Key
from metarl.deployment.acting import OneTask, as_action, as_rows, is_sound
from metarl.deployment.export import export_policy
from metarl.deployment.modules import policy_module
from metarl.deployment.recording import Recorder, Unlearnable
from metarl.families.vec_env import GymVecEnv
from metarl.memory_agent import MemoryAgent
from metarl.networks.actions import heads_of
from metarl.networks.spaces import is_flat
from metarl.rl.policies import module_of
from metarl.rl.setup import build_policy, fitted_params, memory_policy, problem_over, spaces_from
from metarl.runs.checkpoint import load_selected
from metarl.runs.directory import read_config
from metarl.runs.policy_files import SavedPolicy, read_policy, write_policy
from metarl.runs.sources import naming_network

_THIS_ONE = {"environment": np.zeros(1)}
"""A batch of one task, for a single environment without task entries."""


class Agent:
    """A policy for one environment, which adapts by policy gradients and acts.

    Before adaptation it acts with the meta-learned initialisation (zero-shot). `metarl.load` builds an agent from a run
    directory or a file.

    Args:
        config: The configuration of the run.
        params: Parameters of the policy.
        description: Spaces, as `metarl.rl.setup.describe_spaces` returns them.
        horizon: Steps after which an episode is truncated during adaptation.

    Example:
        >>> import tempfile
        >>> import metarl
        >>> family = metarl.load_family("navigation2d")
        >>> env = family.make({"goal": np.array([0.3, 0.2], np.float32)})
        >>> options = {"iterations": 1, "meta_batch_size": 2, "episodes": 2, "validation_tasks": 0}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     agent = metarl.load(metarl.train("maml-trpo", run_dir=f"{folder}/run", **options))
        ...     adapted = agent.adapt(env, episodes=2, steps=1)
        ...     adapted.save(f"{folder}/policy.safetensors")
        ...     again = metarl.load(f"{folder}/policy.safetensors")
        >>> observation, _ = env.reset(seed=1)
        >>> adapted.act(observation).shape, bool((again.act(observation) == adapted.act(observation)).all())
        ((2,), True)
    """

    def __init__(self, config: TrainConfig, params: Params, description: dict[str, Any], horizon: int) -> None:
        # An agent keeps only the options that all algorithms share, not those of the outer update.
        self.config = TrainConfig(**{entry.name: getattr(config, entry.name) for entry in fields(TrainConfig)})
        self.params = params
        self.description = description
        self.horizon = horizon
        self.observation_space, self.action_space = spaces_from(description)
        self.policy = build_policy(config, self.observation_space, self.action_space)
        self.returns: list[float] = []
        """Mean return of the episodes of each adaptation step."""
        self.task: Any = None
        """The task that the agent was adapted to, as JSON, if `metarl adapt` or the user noted it."""
        self._raw_space: spaces.Space | None = None
        self._last: Any = None
        self._one_task = OneTask()
        self._begin(None)

    def _begin(self, state: AdaptState | None) -> None:
        """Begin to record for the adaptation step after a state of `update`."""
        self._state = state
        step = 0 if state is None else state.step
        dtype = DTYPES[self.config.dtype]
        self._recorder = Recorder(self.policy, self.observation_space, self.action_space, dtype, step)

    def adapt(
        self,
        env: gymnasium.Env,
        *,
        episodes: int = 20,
        steps: int = 1,
        inner_lr: float | None = None,
        later_inner_lr: float | None = None,
        horizon: int | None = None,
        seed: int = 1,
    ) -> Agent:
        """Adapt to an environment and return the adapted agent; this agent does not change.

        Args:
            env: An environment with the spaces of training; observations that are not flat vectors are flattened.
            episodes: New episodes of each adaptation step.
            steps: Number of adaptation steps.
            inner_lr: Learning rate of all steps (default: as trained).
            later_inner_lr: Learning rate after the first step.
            horizon: Steps after which an episode is truncated (default: the family's horizon).
            seed: Seed of actions and environment.

        Raises:
            ConfigError: An argument is invalid.
            FamilyError: The spaces differ from those of training.
            EnvironmentFault: The environment raised, or returned an invalid value.
            Divergence: The parameters diverged.
        """
        with in_python_words():
            check_least(("episodes", episodes, 1), ("steps", steps, 0), ("horizon", horizon, 1))
            check_rates(inner_lr, later_inner_lr)
        raw_space = None
        if not (isinstance(env.observation_space, spaces.Box) and len(env.observation_space.shape) == 1):
            if is_flat(self.observation_space):
                raw_space = env.observation_space
            env = FlattenObservation(env)
        self._check_spaces(env)
        vector = SyncVectorEnv([lambda: env], autoreset_mode=AutoresetMode.DISABLED)
        module = module_of(self.policy)
        keep_bytes = module is not None and module.layout.reads_bytes
        vec_env = GymVecEnv(vector, 1, dtype=DTYPES[self.config.dtype], keep_bytes=keep_bytes)
        problem = problem_over(
            lambda _: vec_env, self.config, self.policy, horizon=horizon or self.horizon, episodes=episodes
        )
        adapter = gradient_adapter(self.config.inner, inner_lr, later_inner_lr)
        key = Key.from_seed(seed).at("adapt")
        returns = []
        for state, collected in adapt(problem, self.params, _THIS_ONE, key, adapter, steps, query=False):
            final = state
            if collected is not None:
                returns.append(float(collected.performance))
        return self._adapted(final, returns, raw_space)

    def _adapted(self, state: AdaptState, returns: list[float], raw_space: spaces.Space | None) -> Agent:
        """A new agent with the parameters of a state."""
        params = {name: value[0].detach() for name, value in state.params.items()}
        adapted = Agent(self.config, params, self.description, self.horizon)
        adapted.returns = self.returns + returns
        adapted.task, adapted._raw_space = self.task, raw_space
        return adapted

    def act(self, observation: Any, *, deterministic: bool = True, seed: int = 0, keep_last: bool = False) -> Any:
        """The action for one observation, clipped to the action space.

        Args:
            observation: An observation of the environment.
            deterministic: Whether the action is the mode of the policy; otherwise it is sampled, with new random
                numbers at each call.
            seed: Seed of sampled actions.
            keep_last: Whether an observation of NaN gives the last action again instead of an error.

        Raises:
            FamilyError: The observation does not fit the policy.
            EnvironmentFault: The observation is not finite, and no last action is to be kept.
            Divergence: The observation is so large that the policy's action is not finite.
        """
        if self._raw_space is not None:
            observation = spaces.flatten(self._raw_space, observation)
        rows = as_rows(observation, self.observation_space, DTYPES[self.config.dtype])
        with torch.no_grad():
            distribution, _ = self.policy.act(self._one_task(self.params), rows)
            if not is_sound(distribution, rows, keep_last and self._last is not None):
                self._recorder.acted(Unlearnable.REPEATED)
                return copy(self._last)
            if deterministic:
                action = distribution.mode()
                self._recorder.acted(Unlearnable.MODE)
            else:
                action = self._recorder.sample(rows, distribution, seed)
        self._last = as_action(action, self.action_space)
        return copy(self._last)

    def record(self, reward: float, terminated: bool = False, truncated: bool = False) -> None:
        """Record what followed the last action, for `update`; without an environment object.

        The action must have been sampled (`act(observation, deterministic=False)`), since the policy gradient is an
        average over the policy's actions. If `keep_last` repeated an action, the reward is added to that of the step
        before.

        Args:
            reward: The reward of the step.
            terminated: Whether the episode ended in a final state.
            truncated: Whether the episode ended for another reason, such as a time limit.

        Raises:
            FamilyError: There is no sampled action to record, or a step of the episode was left out.
            EnvironmentFault: The reward is not a finite number.

        Example:
            >>> import metarl
            >>> family = metarl.load_family("navigation2d")
            >>> env = family.make({"goal": np.array([0.3, 0.2], np.float32)})
            >>> config = metarl.MamlTrpoConfig()
            >>> spaces_of = {"observation_size": 2, "action": {"low": [-1.0, -1.0], "high": [1.0, 1.0]}}
            >>> policy = build_policy(config, *spaces_from(spaces_of))
            >>> params = {name: value.float() for name, value in policy.initialise(Key.from_seed(1)).items()}
            >>> agent = Agent(config, params, spaces_of, family.horizon)
            >>> for episode in range(2):
            ...     observation, _ = env.reset(seed=episode)
            ...     for step in range(10):
            ...         action = agent.act(observation, deterministic=False)
            ...         observation, reward, terminated, truncated, _ = env.step(action)
            ...         agent.record(reward, terminated, truncated or step == 9)
            >>> len(agent.recorded), len(agent.update().returns)
            (2, 1)
        """
        self._recorder.record(reward, bool(terminated) or bool(truncated))

    def record_episode(self, observations: Any, actions: Any, rewards: Any) -> None:
        """Record a whole episode whose actions were sampled elsewhere from this very policy, such as by an export.

        Args:
            observations: The observations before each action, (steps, *observation).
            actions: The actions as sampled, before they were clipped: (steps, action), or (steps,) if discrete.
            rewards: The reward after each action, (steps,).

        Raises:
            FamilyError: A shape differs, a discrete action is not in the space, or an episode is being recorded.
            EnvironmentFault: A number is not finite.
        """
        self._recorder.add(stack(self.params, 1), observations, actions, rewards)

    def discard_episode(self) -> None:
        """Drop the recorded steps of the episode that is not finished, for instance after an emergency stop."""
        self._recorder.discard_episode()

    @property
    def recorded(self) -> list[float]:
        """Return of each finished episode that was recorded since the last update."""
        return self._recorder.returns

    def update(self, *, inner_lr: float | None = None, later_inner_lr: float | None = None) -> Agent:
        """Make one adaptation step on the recorded episodes and return the adapted agent; this agent does not change.

        This is the step that `adapt` makes with the same episodes: baseline, advantages and learned rates included.
        Further updates count as later steps. The new agent has no recorded episodes.

        Args:
            inner_lr: Learning rate of all steps (default: as trained).
            later_inner_lr: Learning rate after the first update.

        Raises:
            FamilyError: No episode was recorded, or the last one is not finished.
            ConfigError: A learning rate is invalid.
            Divergence: The parameters diverged.
        """
        with in_python_words():
            check_rates(inner_lr, later_inner_lr)
            adapter = gradient_adapter(self.config.inner, inner_lr, later_inner_lr)
        problem = problem_over(_no_envs, self.config, self.policy, horizon=self.horizon, episodes=1)
        if self._state is None:
            state = adapter.initial(self.params, _THIS_ONE, Key.from_seed(1).at("adapt"))
        else:
            state = self._state._replace(params=stack(self.params, 1))
        after, performance = self._recorder.learn(problem, state, adapter)
        adapted = self._adapted(after, [performance], self._raw_space)
        adapted._begin(after)
        return adapted

    def export(self, path: Path | str) -> None:
        """Write the policy for other runtimes: `.onnx` for ONNX, `.pt2` for torch.export.

        The file maps a batch of observations to the parameters of the distribution over actions and to its mode in the
        action space, as `act` gives it. Normalisation of observations is part of it. The metadata entry "metarl" is a
        JSON text with names, spaces and versions.

        Args:
            path: The file; an existing one is overwritten.

        Raises:
            ConfigError: The suffix is another, or a package is missing.
            RunError: The file cannot be written.
        """
        module = policy_module(self.policy, self.params, self.action_space)
        facts = {"horizon": self.horizon, "returns": self.returns, "task": self.task, "spaces": self.description}
        export_policy(module, path, self.observation_space, self.config, facts)

    def save(self, path: Path | str) -> None:
        """Write the policy to a safetensors file, which `metarl.load` reads.

        Args:
            path: The file; an existing one is overwritten.

        Raises:
            RunError: The file cannot be written.
        """
        saved = SavedPolicy(self.config, self.params, self.description, self.horizon, self.returns, self.task)
        write_policy(path, saved)

    def _check_spaces(self, env: gymnasium.Env) -> None:
        trained = spaces.flatten_space(self.observation_space).shape
        if env.observation_space.shape != trained:
            raise FamilyError(
                f"environment's observations have shape {env.observation_space.shape}; "
                f"the agent was trained on {trained}"
            )
        same = type(env.action_space) is type(self.action_space) and env.action_space.shape == self.action_space.shape
        if same and isinstance(self.action_space, spaces.Discrete):
            same = env.action_space == self.action_space
        if heads_of(self.action_space) is not None:
            same = env.action_space == self.action_space
        if same and isinstance(self.action_space, spaces.Box):
            theirs, ours = env.action_space, self.action_space
            assert isinstance(theirs, spaces.Box)
            same = bool(np.allclose(theirs.low, ours.low) and np.allclose(theirs.high, ours.high))
        if not same:
            raise FamilyError(
                f"environment's action space is {env.action_space}; the agent was trained on {self.action_space}"
            )


def _no_envs(tasks: Any) -> Any:
    raise AssertionError("unreachable: recorded episodes need no environments")


def agent_of(config: RunConfig, theta: Params, manifest: Mapping[str, Any], where: str) -> Agent | MemoryAgent:
    """An agent with the parameters of a training.

    Args:
        config: The configuration of the run.
        theta: The parameters; the agent keeps them.
        manifest: Entries of a checkpoint's manifest: iteration, spaces, horizon.
        where: Start of error messages.
    """
    if isinstance(config, Rl2Config):
        policy = memory_policy(config, *spaces_from(manifest["spaces"]))
        return MemoryAgent(config, as_trained(MemoryAdapter(), policy, theta, where), manifest["spaces"])
    assert isinstance(config, TrainConfig)
    now = at_iteration(replace(config, device="cpu"), manifest["iteration"])
    params = fitted_params(now, manifest["spaces"], theta, where)
    return Agent(now, params, manifest["spaces"], manifest["horizon"])


def load(path: Path | str, checkpoint: str | int = "last") -> Agent | MemoryAgent:
    """Load an agent from a run directory or from a file; `Agent` and `MemoryAgent` have examples.

    Args:
        path: A run directory, or a file of `Agent.save`.
        checkpoint: Checkpoint of a run directory: "last", "best" (on meta-validation tasks) or an iteration.

    Returns:
        A `MemoryAgent` for a run of `rl2`, and an `Agent` otherwise.

    Raises:
        RunError: There is no policy, it is damaged, or it is a policy of another library.
    """
    place, checkpoint = Path(path), str(checkpoint)
    if place.is_dir() and isinstance(config := read_config(place)[1], Rl2Config):
        state, manifest = load_selected(place, checkpoint)
        return agent_of(config, state["theta"], manifest, str(place))
    saved = read_policy(path, checkpoint)
    with naming_network(place, saved.config.policy.network) if place.is_dir() else nullcontext():
        params = fitted_params(saved.config, saved.spaces, saved.params, str(path))
    agent = Agent(saved.config, params, saved.spaces, saved.horizon)
    agent.returns, agent.task = saved.returns, saved.task
    return agent

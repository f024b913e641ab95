"""A meta-trained policy: load, adapt, act, save."""

from __future__ import annotations

from copy import copy
from dataclasses import fields
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import FlattenObservation

from metarl.adaptation.adapter import stack
from metarl.adaptation.collect import adapt
from metarl.adaptation.gradient import gradient_adapter
from metarl.adaptation.memory import MemoryAdapter
from metarl.adaptation.parameters import as_trained
from metarl.config.memory import Rl2Config
from metarl.config.run import TrainConfig
from metarl.config.validation import check_least, check_rates
from metarl.core.errors import Divergence, EnvironmentFault, FamilyError, in_python_words
from metarl.core.machine import DTYPES
from metarl.core.params import Params
from metarl.core.prng import Key, noise_seeds, normal, uniform
from metarl.families.vec_env import GymVecEnv
from metarl.rl.memory import MemoryPolicy
from metarl.rl.policies import Policy
from metarl.rl.setup import build_policy, fitted_params, memory_policy, problem_over, spaces_from
from metarl.runs.checkpoint import load_selected
from metarl.runs.directory import read_config
from metarl.runs.policy_files import SavedPolicy, read_policy, write_policy

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
        self._raw_space: spaces.Space | None = None
        self._acted = 0
        self._last: Any = None

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
            raw_space = env.observation_space
            env = FlattenObservation(env)
        self._check_spaces(env)
        vector = SyncVectorEnv([lambda: env], autoreset_mode=AutoresetMode.DISABLED)
        vec_env = GymVecEnv(vector, 1, dtype=DTYPES[self.config.dtype])
        problem = problem_over(
            lambda _: vec_env, self.config, self.policy, horizon=horizon or self.horizon, episodes=episodes
        )
        adapter = gradient_adapter(self.config.inner, inner_lr, later_inner_lr)
        key = Key.from_seed(seed).at("adapt")
        returns = []
        for state, collected in adapt(problem, self.params, _THIS_ONE, key, adapter, steps, query=False):
            params = state.params
            if collected is not None:
                returns.append(float(collected.performance))
        params = {name: value[0].detach() for name, value in params.items()}
        adapted = Agent(self.config, params, self.description, self.horizon)
        adapted.returns = self.returns + returns
        adapted._raw_space = raw_space
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
        rows = _as_rows(observation, self.observation_space, DTYPES[self.config.dtype])
        with torch.no_grad():
            distribution, _ = self.policy.act(stack(self.params, 1), rows)
            if not _is_sound(distribution, rows, keep_last and self._last is not None):
                return copy(self._last)
            if deterministic:
                action = distribution.mode()
            else:
                action = _sampled(self.policy, distribution, seed, self._acted)
                self._acted += 1
        self._last = _as_action(action, self.action_space)
        return copy(self._last)

    def save(self, path: Path | str) -> None:
        """Write the policy to a safetensors file, which `metarl.load` reads.

        Args:
            path: The file; an existing one is overwritten.

        Raises:
            RunError: The file cannot be written.
        """
        write_policy(path, SavedPolicy(self.config, self.params, self.description, self.horizon, self.returns))

    def _check_spaces(self, env: gymnasium.Env) -> None:
        if env.observation_space.shape != self.observation_space.shape:
            raise FamilyError(
                f"environment's observations have shape {env.observation_space.shape}; "
                f"the agent was trained on {self.observation_space.shape}"
            )
        same = type(env.action_space) is type(self.action_space) and env.action_space.shape == self.action_space.shape
        if same and isinstance(self.action_space, spaces.Discrete):
            same = env.action_space == self.action_space
        if same and isinstance(self.action_space, spaces.Box):
            theirs, ours = env.action_space, self.action_space
            assert isinstance(theirs, spaces.Box)
            same = bool(np.allclose(theirs.low, ours.low) and np.allclose(theirs.high, ours.high))
        if not same:
            raise FamilyError(
                f"environment's action space is {env.action_space}; the agent was trained on {self.action_space}"
            )


class MemoryAgent:
    """A policy with memory for one environment: it adapts while it acts.

    `forget` starts a trial. After every step of the environment, `observe` tells the agent what followed its action.

    Args:
        config: The configuration of the run.
        params: Parameters of the policy.
        description: Spaces, as `metarl.rl.setup.describe_spaces` returns them.

    Example:
        >>> import tempfile
        >>> import metarl
        >>> family = metarl.load_family("navigation2d")
        >>> env = family.make({"goal": np.array([0.3, 0.2], np.float32)})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     options = {"iterations": 1, "meta_batch_size": 2, "episodes": 4, "validation_tasks": 0}
        ...     agent = metarl.load(metarl.train("rl2", run_dir=f"{folder}/run", **options))
        >>> observation, _ = env.reset(seed=1)
        >>> for _ in range(3):
        ...     observation, reward, terminated, truncated, _ = env.step(agent.act(observation))
        ...     agent.observe(reward, terminated or truncated)
        >>> agent.act(observation).shape
        (2,)
    """

    def __init__(self, config: Rl2Config, params: Params, description: dict[str, Any]) -> None:
        self.config, self.params = config, params
        self.observation_space, self.action_space = spaces_from(description)
        self.policy = memory_policy(config, self.observation_space, self.action_space)
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
            raise FamilyError("act was called twice; call observe(reward, ended) after every step of the environment")
        rows = _as_rows(observation, self.observation_space, DTYPES[self.config.dtype])
        with torch.no_grad():
            distribution, memory = self.policy.act(stack(self.params, 1), rows, self._memory)
            if not _is_sound(distribution, rows, keep_last and self._last is not None):
                assert self._last is not None
                self._acted = self._last
                return _as_action(self._last, self.action_space)
            action = distribution.mode() if deterministic else _sampled(self.policy, distribution, seed, self._draws)
        self._memory, self._acted, self._last = memory, action, action
        self._draws += 1
        return _as_action(action, self.action_space)

    def observe(self, reward: float, ended: bool) -> None:
        """Remember what followed the last action.

        Args:
            reward: The reward of the step.
            ended: Whether the episode ended; the trial goes on until `forget`.

        Raises:
            FamilyError: No action was taken since the last call, or the reward is not finite.
        """
        if self._acted is None or self._memory is None:
            raise FamilyError("observe was called before act")
        if not np.isfinite(reward):
            raise FamilyError(f"reward = {reward}; expected a finite number")
        dtype = DTYPES[self.config.dtype]
        gained, end = torch.tensor([[float(reward)]], dtype=dtype), torch.tensor([[bool(ended)]])
        self._memory = self.policy.remember(self._memory, self._acted, gained, end)
        self._acted = None


def _as_rows(observation: Any, space: spaces.Box, dtype: torch.dtype) -> torch.Tensor:
    """An observation as a batch of one task with one episode."""
    try:
        array = np.asarray(observation, np.float32)
    except (TypeError, ValueError):
        raise FamilyError(
            f"observation {observation!r} is not a vector; flatten it with gymnasium.spaces.flatten"
        ) from None
    if array.shape != space.shape:
        raise FamilyError(f"observation of shape {array.shape}; expected {space.shape}")
    return torch.as_tensor(array, dtype=dtype)[None, None]


def _is_sound(distribution: Any, rows: torch.Tensor, can_keep: bool) -> bool:
    """Whether a distribution over actions is finite; an action of NaN would pass through clipping, and reach a robot.

    Args:
        distribution: The distribution.
        rows: The observation.
        can_keep: Whether there is a last action to take if the observation is at fault; otherwise that is an error.

    Raises:
        EnvironmentFault: The distribution is not finite because the observation is not.
        Divergence: The distribution is not finite although the observation is.
    """
    if all(bool(torch.isfinite(part).all()) for part in distribution):
        return True
    observation = rows.flatten()
    wrong = (~torch.isfinite(observation)).nonzero().flatten().tolist()
    if not wrong:
        raise Divergence("policy's action is not finite; expected observations of the size of those in training")
    if not can_keep:
        raise EnvironmentFault(
            f"observation[{wrong[0]}] = {float(observation[wrong[0]])} ({len(wrong)} of {len(observation)} entries are "
            "not finite); expected finite numbers; with keep_last=True act repeats the last action"
        )
    return False


def _sampled(policy: Policy | MemoryPolicy, distribution: Any, seed: int, draws: int) -> torch.Tensor:
    """An action drawn from a distribution, by the random numbers of the `draws`-th call."""
    seeds = noise_seeds(Key.from_seed(seed).at("act", draws).env_seeds(1, 1), 1, policy.noise_components)
    draw = normal if policy.noise == "normal" else uniform
    action: torch.Tensor = distribution.sample(draw(seeds)[0].to(next(iter(distribution)).dtype))
    return action


def _as_action(action: torch.Tensor, space: spaces.Space) -> Any:
    """The action of the only row, clipped to the action space."""
    chosen = action[0, 0].numpy()
    if isinstance(space, spaces.Discrete):
        return int(chosen) + int(space.start)
    assert isinstance(space, spaces.Box)
    return np.clip(chosen, space.low, space.high).astype(np.float32)


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
        policy = memory_policy(config, *spaces_from(manifest["spaces"]))
        return MemoryAgent(config, as_trained(MemoryAdapter(), policy, state["theta"], str(place)), manifest["spaces"])
    saved = read_policy(path, checkpoint)
    params = fitted_params(saved.config, saved.spaces, saved.params, str(path))
    agent = Agent(saved.config, params, saved.spaces, saved.horizon)
    agent.returns = saved.returns
    return agent

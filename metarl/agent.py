"""A meta-trained policy: load it, adapt it to one environment, act, save it."""

from __future__ import annotations

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
from metarl.config.run import TrainConfig
from metarl.config.validation import check_least, check_rates
from metarl.core.errors import FamilyError
from metarl.core.machine import DTYPES
from metarl.core.params import Params
from metarl.core.prng import Key, noise_seeds, normal, uniform
from metarl.families.vec_env import GymVecEnv
from metarl.rl.setup import build_policy, fitted_params, problem_over, spaces_from
from metarl.runs.policy_files import SavedPolicy, read_policy, write_policy

_THIS_ONE = {"environment": np.zeros(1)}
"""A batch of one task, for an environment that is its own task."""


class Agent:
    """A policy for one environment: adapts by policy gradients and acts.

    Not adapted, it acts with the meta-learned initialisation (zero-shot).
    """

    def __init__(self, config: TrainConfig, params: Params, description: dict[str, Any], horizon: int) -> None:
        # An agent needs what every algorithm has in common; the outer update's own options stay with the run.
        self.config = TrainConfig(**{entry.name: getattr(config, entry.name) for entry in fields(TrainConfig)})
        self.params = params
        self.description = description
        self.horizon = horizon
        self.observation_space, self.action_space = spaces_from(description)
        self.policy = build_policy(config, self.observation_space, self.action_space)
        self.returns: list[float] = []
        """Mean return of the episodes that each adaptation step used."""
        self._raw_space: spaces.Space | None = None
        self._acted = 0

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
        """An agent adapted to `env`, whose spaces must be those of training; this one stays as it is.

        Each step collects `episodes` fresh episodes, cut after `horizon` steps (default: the family's).
        Raises FamilyError for other spaces, EnvironmentFault for an environment that misbehaves.
        """
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

    def act(self, observation: Any, *, deterministic: bool = True, seed: int = 0) -> Any:
        """The action for one observation, within the action space; sampled ones differ from call to call."""
        if self._raw_space is not None:
            observation = spaces.flatten(self._raw_space, observation)
        try:
            array = np.asarray(observation, np.float32)
        except (TypeError, ValueError):
            raise FamilyError(
                f"observation {observation!r} is not a vector; flatten it with gymnasium.spaces.flatten"
            ) from None
        if array.shape != self.observation_space.shape:
            raise FamilyError(f"observation of shape {array.shape}; expected {self.observation_space.shape}")
        with torch.no_grad():
            rows = torch.as_tensor(array, dtype=DTYPES[self.config.dtype])[None, None]
            distribution, _ = self.policy.act(stack(self.params, 1), rows)
            if deterministic:
                action = distribution.mode()
            else:
                seeds = noise_seeds(
                    Key.from_seed(seed).at("act", self._acted).env_seeds(1, 1),
                    1,
                    self.policy.noise_components,
                )
                self._acted += 1
                draw = normal if self.policy.noise == "normal" else uniform
                action = distribution.sample(draw(seeds)[0].to(rows.dtype))
        chosen = action[0, 0].numpy()
        if isinstance(self.action_space, spaces.Discrete):
            return int(chosen) + int(self.action_space.start)
        assert isinstance(self.action_space, spaces.Box)
        return np.clip(chosen, self.action_space.low, self.action_space.high).astype(np.float32)

    def save(self, path: Path | str) -> None:
        """Keep the policy in one safetensors file, which `metarl.load` reads."""
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


def load(path: Path | str, checkpoint: str = "last") -> Agent:
    """An agent from a run directory (its last checkpoint, `best`, or an iteration) or from a file that `save` wrote."""
    saved = read_policy(path, checkpoint)
    params = fitted_params(saved.config, saved.spaces, saved.params, str(path))
    agent = Agent(saved.config, params, saved.spaces, saved.horizon)
    agent.returns = saved.returns
    return agent

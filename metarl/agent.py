"""A trained policy in the hand: load it, adapt it to one environment, act, save it."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import FlattenObservation
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_safetensors

from metarl.builder import DTYPES, as_trained, build_policy, build_rule, problem_over, spaces_from
from metarl.checkpoint import check_header, load_selected
from metarl.config import TrainConfig
from metarl.config_files import from_mapping, to_mapping
from metarl.errors import ConfigError, FamilyError, RunError
from metarl.host_lanes import HostLanes
from metarl.inner import adapt_step, begin, stack
from metarl.manifest import has_entries
from metarl.randomness import Key, noise_seeds, normal, uniform
from metarl.run_directory import read_config
from metarl.types import Params
from metarl.validation import check_rates, validate

FORMAT = 1
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
        for name, value, least in (("episodes", episodes, 1), ("steps", steps, 0), ("horizon", horizon, 1)):
            if value is not None and value < least:
                raise ConfigError(f"{name} = {value}; expected a whole number of at least {least}")
        check_rates(inner_lr, later_inner_lr)
        raw_space = None
        if not (isinstance(env.observation_space, spaces.Box) and len(env.observation_space.shape) == 1):
            raw_space = env.observation_space
            env = FlattenObservation(env)
        self._check_spaces(env)
        vector = SyncVectorEnv([lambda: env], autoreset_mode=AutoresetMode.DISABLED)
        lanes = HostLanes(vector, 1, dtype=DTYPES[self.config.dtype])
        problem = problem_over(
            lambda _: lanes, self.config, self.policy, horizon=horizon or self.horizon, episodes=episodes
        )
        rule = build_rule(self.config, inner_lr, later_inner_lr)
        at = begin(self.params, 1)
        key = Key.from_seed(seed).at("adapt")
        returns = []
        for step in range(steps):
            collected = problem.collect(at.params, _THIS_ONE, key.at(step))
            returns.append(float(collected.score))
            at = adapt_step(problem.inner_loss, at, collected.data, rule)
        adapted = Agent(self.config, {k: v[0].detach() for k, v in at.params.items()}, self.description, self.horizon)
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
                    Key.from_seed(seed).at("act", self._acted).lane_seeds(1, 1),
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
        facts = {
            "format": FORMAT,
            "config": to_mapping(self.config),
            "spaces": self.description,
            "horizon": self.horizon,
            "returns": self.returns,
        }
        data = save_safetensors(
            {k: v.contiguous() for k, v in self.params.items()}, metadata={"metarl": json.dumps(facts)}
        )
        try:
            Path(path).write_bytes(data)
        except OSError as error:
            raise RunError(f"{path}: cannot be written: {error.strerror}") from None

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
    place = Path(path)
    if place.is_dir():
        _, config = read_config(place)
        if config.learner() is not None:
            raise RunError(
                f"{place}: learned by {config.learner()}; go on there with 'metarl export {place} model.zip'"
            )
        state, manifest = load_selected(place, checkpoint)
        params, description, horizon, returns = state["theta"], manifest["spaces"], manifest["horizon"], []
    elif place.is_file():
        try:
            check_header(place)
            with safe_open(str(place), framework="pt") as file:
                facts = json.loads((file.metadata() or {}).get("metarl", "null"))
                params = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        except (SafetensorError, ValueError, OSError, RecursionError, RunError) as error:
            raise RunError(f"{place}: not a policy that metarl saved: {error}") from None
        if not isinstance(facts, dict) or facts.get("format") != FORMAT:
            raise RunError(f"{place}: not a policy that this version of metarl saved")
        if not has_entries(facts, {"config": dict, "spaces": dict, "horizon": int, "returns": list}):
            raise RunError(f"{place}: damaged: its metadata are not those of a saved policy")
        config = from_mapping(TrainConfig(), facts["config"], str(place))
        validate(config, str(place))
        description, horizon, returns = facts["spaces"], facts["horizon"], facts["returns"]
    else:
        raise RunError(f"{place}: neither a run directory nor a saved policy")
    agent = Agent(replace(config, device="cpu"), {}, description, horizon)
    agent.params = {
        k: v.to(DTYPES[config.dtype]) for k, v in as_trained(config, agent.policy, params, str(place)).items()
    }
    agent.returns = returns
    return agent

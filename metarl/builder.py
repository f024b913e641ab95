"""From a configuration to the objects that it describes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from gymnasium import spaces

from metarl.config import RunConfig, TrainConfig
from metarl.errors import ConfigError, RunError
from metarl.families import TaskFamily
from metarl.importing import import_attribute
from metarl.inner import AdamDescent, GradientDescent, add_learned_rates
from metarl.lanes import Lanes, make_lanes
from metarl.plugins import load_family
from metarl.policies import Policy, make_policy
from metarl.problem import ReinforcementLearning
from metarl.randomness import Key
from metarl.tasks import Tasks
from metarl.types import Params, State

INNER_RULES = {"sgd": GradientDescent, "adam": AdamDescent}
DTYPES = {"float32": torch.float32, "float64": torch.float64}


class Model(Protocol):
    """Whatever has parameters to learn: a policy or a network."""

    def initialise(self, key: Key) -> Params: ...


def check_device(name: str) -> torch.device:
    """The torch device of that name; raises ConfigError where this machine has none."""
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"--device = {name}; expected a device of this machine: {str(error).splitlines()[0]}"
        ) from None
    return device


def build_family(config: TrainConfig) -> TaskFamily:
    return load_family(config.family, config.variant, observe_task=config.observe_task)


def build_policy(config: TrainConfig, observation_space: spaces.Space, action_space: spaces.Space) -> Policy:
    return make_policy(
        observation_space,
        action_space,
        hidden_sizes=config.policy.hidden_sizes,
        activation=config.policy.activation,
        initial_log_std=config.policy.initial_log_std,
        min_log_std=config.policy.min_log_std,
        max_log_std=config.policy.max_log_std,
        context=config.policy.context,
        normalise_observations=config.policy.normalise_observations,
    )


def build_rule(config: RunConfig, lr: float | None = None, later_lr: float | None = None) -> GradientDescent:
    """The inner rule; `lr` and `later_lr` replace those of the configuration, and a new lr alone holds throughout.

    Raises ConfigError for a new lr where the rates were learned.
    """
    inner = config.inner
    if lr is not None and inner.learned_lr != "none":
        raise ConfigError(
            f"--inner-lr = {lr}; the rates of this run were learned (--inner.learned-lr), so leave it out"
        )
    pattern = {"all": "*", "head": "head.*"}.get(inner.adapt, inner.adapt)
    if lr is None:
        lr, later_lr = inner.lr, later_lr or inner.later_lr
    return _inner_rule(inner.optimiser)(lr, later_lr, inner.first_order, pattern)


def _inner_rule(name: str) -> type[GradientDescent]:
    if name in INNER_RULES:
        return INNER_RULES[name]
    rule = import_attribute(name, f"--inner.optimiser = {name}", ConfigError)
    if not (isinstance(rule, type) and issubclass(rule, GradientDescent)):
        raise ConfigError(f"--inner.optimiser = {name}; expected a class that extends metarl.inner.GradientDescent")
    return rule


def build_problem(
    config: TrainConfig,
    family: TaskFamily,
    policy: Policy,
    *,
    episodes: int | None = None,
    transitions: int | None = None,
) -> ReinforcementLearning:
    """The problem of a configuration; a budget given here replaces the one for training."""
    if episodes is None and transitions is None:
        episodes, transitions = config.episodes, config.samples_per_step
    lanes = -(-transitions // family.horizon) if transitions is not None else episodes
    assert lanes is not None
    device = check_device(config.device)

    def lanes_for(tasks: Tasks) -> Lanes:
        return make_lanes(
            family,
            tasks,
            lanes,
            device=device,
            dtype=DTYPES[config.dtype],
            workers=config.workers,
            timeout=config.worker_timeout,
        )

    return problem_over(lanes_for, config, policy, horizon=family.horizon, episodes=lanes, transitions=transitions)


def problem_over(
    lanes_for: Callable[[Tasks], Lanes],
    config: TrainConfig,
    policy: Policy,
    *,
    horizon: int,
    episodes: int,
    transitions: int | None = None,
) -> ReinforcementLearning:
    """The problem of a configuration over any lanes."""
    return ReinforcementLearning(
        policy,
        lanes_for,
        horizon=horizon,
        episodes=episodes,
        transitions=transitions,
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
        surrogate=config.inner.estimator,
        worker_retries=config.worker_retries,
    )


def initial_theta(config: RunConfig, model: Model, seed: int) -> Params:
    """The untrained initialisation of a seed: the model's parameters, and those of the inner rule where it has any."""
    drawn = model.initialise(Key.from_seed(seed).at("initialisation"))
    theta = {name: value.to(check_device(config.device), DTYPES[config.dtype]) for name, value in drawn.items()}
    return _with_inner_rule(config, theta)


def _with_inner_rule(config: RunConfig, theta: Params) -> Params:
    rule = build_rule(config)
    return rule.remembering(add_learned_rates(theta, rule, config.inner.learned_lr))


def as_trained(config: RunConfig, model: Model, loaded: Params, where: str) -> Params:
    """Loaded parameters in the configuration's own order; raises RunError where names or shapes are not the same."""
    expected = _with_inner_rule(config, model.initialise(Key(0)))
    if set(expected) != set(loaded):
        raise RunError(f"{where}: parameters {sorted(set(expected) ^ set(loaded))} do not fit the model")
    for name, value in expected.items():
        if value.shape != loaded[name].shape:
            shapes = f"{tuple(loaded[name].shape)}; the model has {tuple(value.shape)}"
            raise RunError(f"{where}: {name} has shape {shapes}")
        if not bool(torch.isfinite(loaded[name]).all()):
            raise RunError(f"{where}: {name} holds values that are not finite")
    return {name: loaded[name] for name in expected}


def fitting(loaded: State, expected: State, where: str) -> State:
    """A loaded state, if it has the tensors of the expected one; raises RunError for others, shapes or types."""
    for part, params in expected.items():
        found = loaded.get(part, {})
        for name, value in params.items():
            if name not in found or (found[name].shape, found[name].dtype) != (value.shape, value.dtype):
                raise RunError(f"{where}: its checkpoint has no {part} {name} of shape {tuple(value.shape)}")
            if not bool(torch.isfinite(found[name]).all()):
                raise RunError(f"{where}: {part} {name} holds values that are not finite")
    return {part: {name: loaded[part][name] for name in params} for part, params in expected.items()}


def describe_spaces(observation_space: spaces.Space, action_space: spaces.Space) -> dict[str, Any]:
    """Spaces as JSON, so that a saved policy can act without its family."""
    assert isinstance(observation_space, spaces.Box)
    if isinstance(action_space, spaces.Discrete):
        action: dict[str, Any] = {"discrete": int(action_space.n), "start": int(action_space.start)}
    else:
        assert isinstance(action_space, spaces.Box)
        # JSON has no infinity; an unbounded side is null.
        bounds = [
            [float(x) if np.isfinite(x) else None for x in side] for side in (action_space.low, action_space.high)
        ]
        action = {"low": bounds[0], "high": bounds[1]}
    return {"observation_size": int(observation_space.shape[0]), "action": action}


def spaces_from(description: dict[str, Any]) -> tuple[spaces.Box, spaces.Space]:
    """The inverse of `describe_spaces`."""
    observation = spaces.Box(-np.inf, np.inf, (description["observation_size"],), np.float32)
    action = description["action"]
    if "discrete" in action:
        return observation, spaces.Discrete(action["discrete"], start=action["start"])
    low = np.array([-np.inf if x is None else x for x in action["low"]], np.float32)
    high = np.array([np.inf if x is None else x for x in action["high"]], np.float32)
    return observation, spaces.Box(low, high, dtype=np.float32)

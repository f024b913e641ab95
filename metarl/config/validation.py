"""Validation of options and of combinations of options. Imports no torch."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from itertools import chain
from typing import Any

from metarl.config.algorithms import MamlOptions, PretrainOptions, PrompConfig, ReptileOptions
from metarl.config.run import RunConfig, TrainConfig, fields_of, option_name, value_of
from metarl.core.errors import ConfigError, nearest

INNER_OPTIMISERS = ("sgd", "adam")

_AT_LEAST_ONE = (
    "meta_batch_size",
    "episodes",
    "sb3.timesteps",
    "sb3.n_envs",
    "checkpoint_every",
    "trust_region.cg_iterations",
    "trust_region.max_backtracks",
    "trust_region.curvature_stride",
    "epochs",
    "ppo.epochs",
    "ppo.minibatches",
    "ppo.chunk",
    "policy.memory_size",
    "policy.latent_size",
    "adam.drops",
    "inner.drops",
)

_NOT_NEGATIVE = (
    "seed",
    "iterations",
    "inner.steps",
    "validation_tasks",
    "keep_checkpoints",
    "workers",
    "worker_retries",
    "trust_region.damping",
    "inner_kl_penalty",
    "policy.context",
    "network.context",
    "policy.observation_embedding",
    "policy.action_embedding",
    "policy.reward_embedding",
    "ppo.value_weight",
    "ppo.entropy_weight",
    "adam.warm_up",
    "inner.warm_up",
    "adam.end_factor",
    "inner.end_factor",
    "early_stop.patience",
    "early_stop.min_improvement",
    "early_stop.min_iterations",
)

_POSITIVE = (
    "inner.lr",
    "inner.later_lr",
    "worker_timeout",
    "rank_timeout",
    "trust_region.max_kl",
    "samples_per_step",
    "adam.lr",
    "clip",
    "step_size",
    "ppo.clip",
    "ppo.max_gradient_norm",
)

_UNIT_INTERVAL = ("gamma", "gae_lambda")

_BELOW_ONE = ("adam.beta1", "adam.beta2")


def validate(config: Any, where: str = "") -> None:
    """Check all values of a configuration and their combinations.

    Args:
        config: A configuration.
        where: Start of error messages, such as a file; by default they name the command-line option.

    Raises:
        ConfigError: A value is invalid; the message names the option, the value and the expectation.

    Example:
        >>> from metarl.config import TrainConfig
        >>> validate(TrainConfig(gamma=2.0))
        Traceback (most recent call last):
        metarl.core.errors.ConfigError: --gamma = 2.0; expected a number from 0 to 1
    """
    values = {name: value_of(config, name) for name in fields_of(type(config))}

    def require(name: str, holds: bool, expected: str) -> None:
        if not holds:
            place = f"{where}: {name}" if where else option_name(name)
            raise ConfigError(f"{place} = {values[name]}; expected {expected}")

    optimiser = values.get("inner.optimiser", "sgd")
    require(
        "inner.optimiser",
        optimiser in INNER_OPTIMISERS or ":" in optimiser,
        f"{' or '.join(INNER_OPTIMISERS)}, or your own as module:attribute{nearest(optimiser, INNER_OPTIMISERS)}",
    )
    for name, value in values.items():
        if isinstance(value, float):
            require(name, math.isfinite(value), "a finite number")
        if value is None:
            continue
        if name in _AT_LEAST_ONE:
            require(name, value >= 1, "a whole number of at least 1")
        elif name in _NOT_NEGATIVE:
            require(name, value >= 0, "a number that is not negative")
        elif name in _POSITIVE:
            require(name, value > 0, "a number above 0")
        elif name in _UNIT_INTERVAL:
            require(name, 0 <= value <= 1, "a number from 0 to 1")
        elif name in _BELOW_ONE:
            require(name, 0 <= value < 1, "a number from 0 to below 1")
    if isinstance(config, RunConfig):
        for name, expected in chain(_conflicts(config), config.conflicts()):
            require(name, False, expected)
    require("seed", values["seed"] < 2**63, "a number below 2^63")
    for name in ("policy.hidden_sizes", "network.hidden_sizes"):
        require(name, all(1 <= size <= 16384 for size in values.get(name, ())), "sizes from 1 to 16384")
    if "trust_region.backtrack_ratio" in values:
        require(
            "trust_region.backtrack_ratio",
            0 < values["trust_region.backtrack_ratio"] < 1,
            "a number between 0 and 1",
        )


def _conflicts(config: RunConfig) -> Iterator[tuple[str, str]]:
    """Yield conflicts between the inner loop and the outer update, as `RunConfig.conflicts` does."""
    if config.ordered_sums and config.device != "cpu":
        yield "ordered_sums", "false, or --device cpu: a GPU cannot compute tasks one at a time in a fixed order"
    if config.early_stop.patience and not config.validation_tasks:
        yield "early_stop.patience", "0, or --validation-tasks above 0: early stopping needs scores of checkpoints"
    inner = config.inner
    for name, options in (("adam", getattr(config, "adam", None)), ("inner", inner)):
        if options is not None and options.schedule in ("exponential", "step") and options.end_factor == 0:
            yield f"{name}.end_factor", f"a number above 0: the schedule {options.schedule} multiplies by powers of it"
    if inner.learned_lr != "none" and (inner.schedule != "constant" or inner.warm_up):
        yield "inner.learned_lr", "none: a rate with a schedule is not learned"
    if isinstance(config, PretrainOptions) and (inner.schedule != "constant" or inner.warm_up):
        yield "inner.schedule", "constant, without warm-up: joint training takes no inner steps"
    differentiates = not isinstance(config, ReptileOptions | PretrainOptions)
    if not differentiates and inner.learned_lr != "none":
        yield "inner.learned_lr", "none: this outer update differentiates no adaptation, so rates cannot be learned"
    if not differentiates and inner.checkpointing:
        yield "inner.checkpointing", "false: this outer update differentiates no adaptation, so no graph takes memory"
    if isinstance(config, ReptileOptions | PrompConfig) and inner.steps == 0:
        yield "inner.steps", "at least one step: this outer update needs one"
    if isinstance(config, ReptileOptions) and inner.first_order:
        yield "inner.first_order", "false: Reptile has no second-order form"
    if isinstance(config, ReptileOptions) and inner.adapt != "all":
        yield "inner.adapt", "all: Reptile moves what adapts, so the rest would stay as it was drawn"
    saved_policy = type(config) is TrainConfig  # saved without the options of its outer update
    if inner.optimiser == "adam" and differentiates and not inner.first_order and not saved_policy:
        yield "inner.optimiser", "sgd, or --inner.first-order: Adam's step has no derivative where a gradient is zero"
    if inner.estimator == "e-maml" and not isinstance(config, MamlOptions):
        yield "inner.estimator", "another: E-MAML's score term has a gradient but no value, so only maml can use it"
    if inner.optimiser == "adam" and inner.learned_lr != "none":
        yield "inner.optimiser", "sgd: learned rates are those of gradient descent"


def json_value(option: str, text: str) -> Any:
    """Parse an option's value as JSON.

    Args:
        option: Name of the option, for the error message.
        text: The value.

    Raises:
        ConfigError: The text is not valid JSON.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{option} = {text}; expected JSON: {error}") from None


def json_object(option: str, text: str) -> dict[str, Any]:
    """Parse an option's value as a JSON object.

    Args:
        option: Name of the option, for the error message.
        text: The value.

    Raises:
        ConfigError: The text is not a JSON object.
    """
    value = json_value(option, text)
    if not isinstance(value, dict):
        raise ConfigError(f"{option} = {text}; expected a JSON object")
    return value


def check_least(*options: tuple[str, int | None, int]) -> None:
    """Check lower bounds of options.

    Args:
        *options: Triples (name, value, least); a value of None is not checked.

    Raises:
        ConfigError: A value is below its bound.
    """
    for name, value, least in options:
        if value is not None and value < least:
            raise ConfigError(f"--{name} = {value}; expected a whole number of at least {least}")


def check_rates(inner_lr: float | None, later_inner_lr: float | None) -> None:
    """Check that test-time learning rates are finite and positive, or None; raises ConfigError otherwise."""
    for name, rate in (("inner-lr", inner_lr), ("later-inner-lr", later_inner_lr)):
        if rate is not None and not 0 < rate < math.inf:
            raise ConfigError(f"--{name} = {rate}; expected a number above 0")

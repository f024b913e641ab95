"""Outer updates by name, including users' own, and kinds of problems. Imports no torch."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any, Literal, NamedTuple

from metarl.config.algorithms import MamlConfig, MamlTrpoConfig, PretrainConfig, PrompConfig, ReptileConfig
from metarl.config.memory import Rl2Config
from metarl.config.run import RunConfig, TrainConfig
from metarl.config.sb3 import PretrainSb3Config, ReptileSb3Config
from metarl.core.errors import ConfigError, nearest
from metarl.core.imports import import_attribute


class Algorithm(NamedTuple):
    """An outer update as the command line needs it before torch is loaded."""

    config: type[Any]
    """Class of its options, a RunConfig."""
    module: str
    """Module with `initial_state` and `meta_step`."""
    summary: str
    """One line for listings."""
    setup: str | None = None
    """Module whose function `setup(config)` returns the `Setup` (default: that of the kind)."""


SB3_SETUP = "metarl.sb3.setup"

ALGORITHMS = {
    "maml-trpo": Algorithm(
        MamlTrpoConfig,
        "metarl.algorithms.maml_trpo",
        "MAML with a trust-region outer update (Finn et al. 2017)",
    ),
    "maml": Algorithm(MamlConfig, "metarl.algorithms.maml", "MAML with Adam as the outer optimiser (Finn et al. 2017)"),
    "promp": Algorithm(
        PrompConfig, "metarl.algorithms.promp", "clipped outer updates with an inner-KL penalty (Rothfuss et al. 2019)"
    ),
    "reptile": Algorithm(
        ReptileConfig, "metarl.algorithms.reptile", "towards the adapted parameters (Nichol et al. 2018)"
    ),
    "pretrain": Algorithm(
        PretrainConfig, "metarl.algorithms.pretrain", "joint training over all tasks, the baseline to beat"
    ),
    "rl2": Algorithm(
        Rl2Config, "metarl.algorithms.rl2", "a recurrent policy that learns by PPO over trials (Duan et al. 2016)"
    ),
    "reptile-sb3": Algorithm(
        ReptileSb3Config,
        "metarl.sb3.reptile",
        "Reptile around learning by PPO, A2C, SAC, TD3 or DQN of Stable-Baselines3",
        SB3_SETUP,
    ),
    "pretrain-sb3": Algorithm(
        PretrainSb3Config,
        "metarl.sb3.pretrain",
        "PPO or A2C of Stable-Baselines3 trained across all tasks, the baseline of reptile-sb3",
        SB3_SETUP,
    ),
}


def find_algorithm(
    name: str, algorithms: Mapping[str, Algorithm] = ALGORITHMS, base: type[RunConfig] = TrainConfig
) -> Algorithm:
    """Look up an outer update by name, or import a user's own.

    Args:
        name: A key of `algorithms`, or `module:Class`: a dataclass that extends `base`, in a module with the functions
            `initial_state` and `meta_step`.
        algorithms: The known outer updates.
        base: Base class of configurations.

    Raises:
        ConfigError: There is no such outer update, or the class does not fulfil the contract.

    Example:
        >>> find_algorithm("promp").module
        'metarl.algorithms.promp'
    """
    if name in algorithms:
        return algorithms[name]
    if ":" not in name:
        raise ConfigError(f"unknown algorithm '{name}'{nearest(name, algorithms)}; your own is named module:Class")
    config = import_attribute(name, f"algorithm '{name}'", ConfigError)
    if not (isinstance(config, type) and issubclass(config, base) and is_dataclass(config)):
        raise ConfigError(f"algorithm '{name}': expected a dataclass that extends {base.__module__}.{base.__name__}")
    for function in ("initial_state", "meta_step"):
        if not callable(getattr(sys.modules[config.__module__], function, None)):
            raise ConfigError(f"algorithm '{name}': module {config.__module__} has no function '{function}'")
    # The module's own setup, or that of the shipped configuration that this one extends.
    setup = next((known.setup for known in algorithms.values() if issubclass(config, known.config)), None)
    if callable(getattr(sys.modules[config.__module__], "setup", None)):
        setup = config.__module__
    return Algorithm(config, config.__module__, (config.__doc__ or name).splitlines()[0], setup)


class ProblemKind(NamedTuple):
    """A kind of problem: its algorithms, and the names of its metrics."""

    name: str
    command: str
    """Program that trains and resumes runs of this kind."""
    algorithms: Mapping[str, Algorithm]
    base: type[RunConfig]
    """Base class of the algorithms' configurations."""
    setup: str
    """Module whose function `setup(config)` returns the `metarl.adaptation.Setup` of a configuration."""
    measure: str
    """Name of a task's performance; higher is better."""
    unit: str
    """Unit of the amount of data."""
    average: Literal["iqm", "mean"]
    """Average over tasks for which confidence intervals are computed."""
    bounds: tuple[float, float] | None = None
    """Bounds of the measure, as of a rate; intervals end there."""

    def find(self, name: str) -> Algorithm:
        """Look up one of the algorithms or a user's own, as `find_algorithm`; raises ConfigError if there is none."""
        return find_algorithm(name, self.algorithms, self.base)


REINFORCEMENT_LEARNING = ProblemKind(
    name="reinforcement-learning",
    command="metarl",
    algorithms=ALGORITHMS,
    base=TrainConfig,
    setup="metarl.rl.setup",
    measure="return",
    unit="environment_steps",
    average="iqm",
)

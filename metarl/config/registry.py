"""Outer updates by name, users' own among them, and the kinds of problems they serve. Imports no torch."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any, Literal, NamedTuple

from metarl.config.algorithms import MamlConfig, MamlTrpoConfig, PretrainConfig, PrompConfig, ReptileConfig
from metarl.config.run import RunConfig, TrainConfig
from metarl.config.sb3 import PretrainSb3Config, ReptileSb3Config
from metarl.core.errors import ConfigError, nearest
from metarl.core.imports import import_attribute


class Algorithm(NamedTuple):
    """What the command line needs to know of an outer update before torch is loaded."""

    config: type[Any]
    """Its options, a RunConfig."""
    module: str
    """Module with `initial_state` and `meta_step`."""
    summary: str
    """One line for listings."""
    setup: str | None = None
    """Module whose function `setup(config)` gives the `Setup` (default: the kind's)."""


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
    """The outer update of that name, or the one that a configuration class `module:Class` belongs to.

    Such a class is a dataclass that extends `base`; its module offers `initial_state` and `meta_step`.
    Raises ConfigError for whatever is not one.
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
    # A configuration that extends a shipped one is set up as that one is.
    setup = next((known.setup for known in algorithms.values() if issubclass(config, known.config)), None)
    return Algorithm(config, config.__module__, (config.__doc__ or name).splitlines()[0], setup)


class ProblemKind(NamedTuple):
    """A kind of problem: the methods that serve it, and the names of its measurements."""

    name: str
    command: str
    """The command line that trains and resumes its runs."""
    algorithms: Mapping[str, Algorithm]
    base: type[RunConfig]
    """What the configurations of its algorithms extend."""
    setup: str
    """Module whose function `setup(config)` gives the `metarl.adaptation.Setup` of a configuration."""
    measure: str
    """What a task is scored by, higher being better."""
    unit: str
    """What data are counted in."""
    average: Literal["iqm", "mean"]
    """The average over tasks that intervals are given of."""
    bounds: tuple[float, float] | None = None
    """Bounds of the measure, as of a rate; intervals end there."""

    def find(self, name: str) -> Algorithm:
        """One of the algorithms, or one of the user's own; raises ConfigError for neither."""
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

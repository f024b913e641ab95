"""The outer updates by name, and finding those of users' own. Imports no torch."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any, NamedTuple

from metarl.config import (
    MamlConfig,
    MamlTrpoConfig,
    PretrainConfig,
    PrompConfig,
    ReptileConfig,
    RunConfig,
    TrainConfig,
)
from metarl.errors import ConfigError, nearest
from metarl.importing import import_attribute
from metarl.sb3_config import PretrainSb3Config, ReptileSb3Config


class Algorithm(NamedTuple):
    """What the command line needs to know of an outer update before torch is loaded."""

    config: type[Any]
    """A RunConfig."""
    module: str
    summary: str


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
        "metarl.algorithms.reptile_sb3",
        "Reptile around learning by PPO, A2C, SAC, TD3 or DQN of Stable-Baselines3",
    ),
    "pretrain-sb3": Algorithm(
        PretrainSb3Config,
        "metarl.algorithms.pretrain_sb3",
        "PPO or A2C of Stable-Baselines3 trained across all tasks, the baseline of reptile-sb3",
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
    return Algorithm(config, config.__module__, (config.__doc__ or name).splitlines()[0])

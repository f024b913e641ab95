"""Published experiments by name: how each trains, how it is measured, what was published. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from metarl.config.evaluation import FamilyEvaluation
from metarl.config.toml import load_preset, read_toml
from metarl.core.errors import ConfigError, nearest


@dataclass(frozen=True)
class Protocol:
    """A published experiment.

    Args:
        title: What it is, with authors and year.
        algorithm: Name of the outer update.
        preset: Name of the preset with all training options.
        evaluation: How a run is measured.
        rows: Published figures: a return for each adaptation step, or one return of a whole trial.
        differs: Differences between the published experiment and this one, a sentence each.
        measure: "steps" for the return after each adaptation step, "trial" for the sum over the episodes of a trial.
    """

    title: str
    algorithm: str
    preset: str
    evaluation: FamilyEvaluation
    rows: Mapping[str, list[float]]
    differs: tuple[str, ...] = ()
    measure: Literal["steps", "trial"] = "steps"
    config: Any = field(init=False)
    """The options of training: the preset, without scores of checkpoints, which choose nothing here."""

    def __post_init__(self) -> None:
        config, _ = load_preset(self.algorithm, self.preset)
        object.__setattr__(self, "config", replace(config, validation_tasks=0))


def protocol_files() -> dict[str, Path]:
    """Files of the published experiments by name."""
    return {path.stem: path for path in sorted((Path(__file__).parent / "published").glob("*.toml"))}


def find_protocol(name: str) -> Protocol:
    """The published experiment of a name.

    Raises:
        ConfigError: There is none.

    Example:
        >>> find_protocol("finn17-navigation2d").rows["oracle"]
        [-2.29]
    """
    known = protocol_files()
    if name not in known:
        raise ConfigError(f"unknown published experiment '{name}'{nearest(name, known)}")
    found = read_toml(known[name])
    evaluation = FamilyEvaluation(**found.pop("evaluation"))
    return Protocol(**found | {"evaluation": evaluation, "differs": tuple(found["differs"])})

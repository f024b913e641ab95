"""Policies in files: what a run directory or a file of `metarl adapt` holds of one, without building it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_safetensors

from metarl.config.run import TrainConfig
from metarl.config.toml import from_mapping, to_mapping
from metarl.config.validation import validate
from metarl.core.errors import RunError
from metarl.core.params import Params
from metarl.runs.checkpoint import check_header, load_selected
from metarl.runs.directory import read_config
from metarl.runs.manifest import has_entries

FORMAT = 1


@dataclass(frozen=True)
class SavedPolicy:
    """A policy's parameters with all that it takes to act with them."""

    config: TrainConfig
    params: Params
    spaces: dict[str, Any]
    """Observation and action space, as `metarl.rl.describe_spaces` writes them."""
    horizon: int
    returns: list[float] = field(default_factory=list)
    """Mean return of the episodes that each adaptation step used."""


def read_policy(path: Path | str, checkpoint: str = "last") -> SavedPolicy:
    """The policy of a run directory (its last checkpoint, `best`, or an iteration) or of a file.

    Raises RunError for anything else, for damaged files, and for a run whose policy is another library's.
    """
    place = Path(path)
    if place.is_dir():
        _, config = read_config(place)
        if config.learner() is not None:
            raise RunError(
                f"{place}: learned by {config.learner()}; go on there with 'metarl export {place} model.zip'"
            )
        state, manifest = load_selected(place, checkpoint)
        return SavedPolicy(replace(config, device="cpu"), state["theta"], manifest["spaces"], manifest["horizon"])
    if not place.is_file():
        raise RunError(f"{place}: neither a run directory nor a saved policy")
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
    return SavedPolicy(replace(config, device="cpu"), params, facts["spaces"], facts["horizon"], facts["returns"])


def write_policy(path: Path | str, policy: SavedPolicy) -> None:
    """Write a policy to one safetensors file, which `read_policy` reads; raises RunError where it cannot be written."""
    facts = {
        "format": FORMAT,
        "config": to_mapping(policy.config),
        "spaces": policy.spaces,
        "horizon": policy.horizon,
        "returns": policy.returns,
    }
    tensors = {name: value.contiguous() for name, value in policy.params.items()}
    try:
        Path(path).write_bytes(save_safetensors(tensors, metadata={"metarl": json.dumps(facts)}))
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror}") from None

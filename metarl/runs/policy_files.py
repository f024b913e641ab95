"""Saved policies in run directories and in files of `metarl adapt`, read without building them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_safetensors

from metarl.config.memory import Rl2Config
from metarl.config.run import TrainConfig, at_iteration
from metarl.config.toml import from_mapping, to_mapping
from metarl.config.validation import validate
from metarl.core.errors import RunError
from metarl.core.params import Params
from metarl.runs.checkpoint import check_header, load_selected
from metarl.runs.directory import read_config
from metarl.runs.manifest import has_entries
from metarl.runs.sources import check_names_no_file

FORMAT = 1


@dataclass(frozen=True)
class SavedPolicy:
    """Parameters of a policy, and the facts from which the policy can be rebuilt."""

    config: TrainConfig
    params: Params
    spaces: dict[str, Any]
    """Observation and action space, as `metarl.rl.setup.describe_spaces` returns them."""
    horizon: int
    returns: list[float] = field(default_factory=list)
    """Mean return of the episodes of each adaptation step."""
    task: Any = None
    """The task that the policy was adapted to, as JSON; None if it was not noted."""


def read_policy(path: Path | str, checkpoint: str = "last") -> SavedPolicy:
    """Read a policy from a run directory or a file.

    Args:
        path: A run directory, or a file that `write_policy` wrote.
        checkpoint: Checkpoint of a run directory: "last", "best" or an iteration.

    Raises:
        RunError: There is no policy, it is damaged, or it is a policy of another library.
    """
    place = Path(path)
    if place.is_dir():
        _, config = read_config(place)
        if isinstance(config, Rl2Config):
            raise RunError(f"{place}: adapts by memory while it acts; metarl.load makes an agent of it")
        if config.learner() is not None:
            raise RunError(
                f"{place}: learned by {config.learner()}; go on there with 'metarl export {place} model.zip'"
            )
        state, manifest = load_selected(place, checkpoint)
        config = at_iteration(replace(config, device="cpu"), manifest["iteration"])
        return SavedPolicy(config, state["theta"], manifest["spaces"], manifest["horizon"])
    if not place.is_file():
        raise RunError(f"{place}: neither a run directory nor a saved policy")
    try:
        check_header(place)
        with safe_open(str(place), framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get("metarl", "null"))
            # Copies, since kernels may round differently where memory is aligned as in the file.
            params = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, ValueError, OSError, RecursionError, RunError) as error:
        raise RunError(f"{place}: not a policy that metarl saved: {error}") from None
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise RunError(f"{place}: not a policy that this version of metarl saved")
    if not has_entries(facts, {"config": dict, "spaces": dict, "horizon": int, "returns": list}):
        raise RunError(f"{place}: damaged: its metadata are not those of a saved policy")
    config = from_mapping(TrainConfig(), facts["config"], str(place))
    validate(config, str(place))
    check_names_no_file(config, str(place))
    config = replace(config, device="cpu")
    return SavedPolicy(config, params, facts["spaces"], facts["horizon"], facts["returns"], facts.get("task"))


def write_policy(path: Path | str, policy: SavedPolicy) -> None:
    """Write a policy to a safetensors file, which `read_policy` reads.

    Args:
        path: The file; an existing one is overwritten.
        policy: The policy.

    Raises:
        RunError: The file cannot be written.
    """
    facts = {
        "format": FORMAT,
        "config": to_mapping(policy.config),
        "spaces": policy.spaces,
        "horizon": policy.horizon,
        "returns": policy.returns,
        **({} if policy.task is None else {"task": policy.task}),
    }
    tensors = {name: value.contiguous() for name, value in policy.params.items()}
    try:
        Path(path).write_bytes(save_safetensors(tensors, metadata={"metarl": json.dumps(facts)}))
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror}") from None

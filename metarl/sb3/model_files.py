"""Parameters from a file of Stable-Baselines3, read without executing its pickles."""

from __future__ import annotations

import io
import json
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from metarl.core.errors import RunError
from metarl.core.params import Params
from metarl.rl.networks import ACTIVATION_MODULES

MOST_INFLATION = 4
"""Maximum ratio of unpacked size to archive size; `model.save` and torch do not compress."""

MOST_DESCRIPTION = 16 << 20
"""Maximum size in bytes of the JSON description, which contains no arrays."""


class SavedModel(NamedTuple):
    """The content of a file that can be read without executing it."""

    params: Params
    """Parameters by the names of Stable-Baselines3, without target networks."""
    activation: str | None
    """Either "tanh" or "relu"; None for another or unknown function."""


def read_model(path: Path | str) -> SavedModel:
    """Read the policy's parameters, and SAC's entropy coefficient, from a file of `model.save`.

    Only tensors (`weights_only`) and plain JSON are read; pickled objects in the file are ignored.

    Args:
        path: The file, model.zip.

    Raises:
        RunError: The file is not a model, or is too large when unpacked.
    """
    place = Path(path)
    try:
        with zipfile.ZipFile(place) as archive:
            _check_unpacked(archive, place.stat().st_size)
            policy = _tensors(archive.read("policy.pth"))
            learned = _tensors(archive.read("pytorch_variables.pth"))
            if archive.getinfo("data").file_size > MOST_DESCRIPTION:
                raise ValueError(f"its description has more than {MOST_DESCRIPTION >> 20} MiB")
            description = json.loads(archive.read("data"))
    except OSError as error:
        raise RunError(f"{place}: cannot be read: {error.strerror or error}") from None
    except KeyError as error:
        raise RunError(f"{place}: not a model of Stable-Baselines3: {error.args[0]}") from None
    except zipfile.BadZipFile:
        raise RunError(f"{place}: not a model of Stable-Baselines3: not a zip file") from None
    except Exception as error:  # torch raises various exceptions for a file with other content than tensors
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise RunError(f"{place}: its parameters cannot be read: {reason}") from None
    params = {name: value for name, value in policy.items() if not is_target(name)}
    if "log_ent_coef" in learned:
        params["log_ent_coef"] = learned["log_ent_coef"].detach()
    if isinstance(description, dict) and description.get("use_sde") is True:
        raise RunError(f"{place}: explores by state-dependent noise (use_sde = true); expected independent noise")
    return SavedModel(params, _activation(description, params))


def is_target(name: str) -> bool:
    """Whether a parameter belongs to a target network, which is a moving average of another network."""
    return name.partition(".")[0].endswith("_target")


def _check_unpacked(archive: zipfile.ZipFile, size: int) -> None:
    """Raise ValueError if an archive of `size` bytes would unpack to much more."""
    unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > MOST_INFLATION * size:
        raise ValueError(f"{size} bytes would unpack to {unpacked}; expected at most {MOST_INFLATION} times as many")


def _tensors(data: bytes) -> dict[str, Tensor]:
    file = io.BytesIO(data)
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            _check_unpacked(archive, len(data))
    file.seek(0)
    try:
        with warnings.catch_warnings(action="ignore"):  # about the pickle protocol of files that torch did not write
            loaded = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        # torch's own message suggests to load the file unsafely.
        raise ValueError("objects other than tensors are in them, which are not loaded") from None
    if loaded is None:  # models without variables outside the policy
        return {}
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise ValueError("expected named tensors")
    return {str(name): value.detach() for name, value in loaded.items()}


def _activation(description: Any, params: Params) -> str | None:
    """The policy's activation according to the JSON description; the default of the policy if it has no entry."""
    info = description.get("policy_kwargs", {}) if isinstance(description, dict) else {}
    if not isinstance(info, dict):
        return None
    if "activation_fn" not in info:
        return "tanh" if "action_net.weight" in params else "relu"
    name = str(info["activation_fn"]).rpartition(".")[2].rstrip("'>")
    return next((known for known, module in ACTIVATION_MODULES.items() if module.__name__ == name), None)

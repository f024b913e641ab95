"""Parameters out of a file that Stable-Baselines3 saved, with none of its pickles executed."""

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
"""Times its own size that an archive may unpack to: `model.save` and torch store what they write uncompressed."""

MOST_DESCRIPTION = 16 << 20
"""Bytes of the JSON description, which holds no arrays."""


class SavedModel(NamedTuple):
    """What a file says without being executed."""

    params: Params
    """Under the names of Stable-Baselines3, target networks left out."""
    activation: str | None
    """tanh, relu, or None for another or where the file does not say."""


def read_model(path: Path | str) -> SavedModel:
    """The policy's parameters in a file that `model.save` wrote, and the entropy coefficient that SAC learned.

    Only tensors are read (`weights_only`), and the description as far as it is plain JSON; the pickled objects in
    it are not touched. Raises RunError for anything else.
    """
    place = Path(path)
    try:
        with zipfile.ZipFile(place) as archive:
            _check_unpacked(archive, place.stat().st_size)
            policy = _tensors(archive.read("policy.pth"))
            learned = _tensors(archive.read("pytorch_variables.pth"))
            if archive.getinfo("data").file_size > MOST_DESCRIPTION:
                raise ValueError(f"its description has more than {MOST_DESCRIPTION >> 20} MiB")
            to_metrics = json.loads(archive.read("data"))
    except OSError as error:
        raise RunError(f"{place}: cannot be read: {error.strerror or error}") from None
    except KeyError as error:
        raise RunError(f"{place}: not a model of Stable-Baselines3: {error.args[0]}") from None
    except zipfile.BadZipFile:
        raise RunError(f"{place}: not a model of Stable-Baselines3: not a zip file") from None
    except Exception as error:  # torch raises many kinds for a file that holds anything but tensors
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise RunError(f"{place}: its parameters cannot be read: {reason}") from None
    params = {name: value for name, value in policy.items() if not is_target(name)}
    if "log_ent_coef" in learned:
        params["log_ent_coef"] = learned["log_ent_coef"].detach()
    if isinstance(to_metrics, dict) and to_metrics.get("use_sde") is True:
        raise RunError(f"{place}: explores by state-dependent noise (use_sde = true); expected independent noise")
    return SavedModel(params, _activation(to_metrics, params))


def is_target(name: str) -> bool:
    """Whether a parameter belongs to a target network, which follows another and learns nothing itself."""
    return name.partition(".")[0].endswith("_target")


def _check_unpacked(archive: zipfile.ZipFile, size: int) -> None:
    """Raise ValueError for an archive of `size` bytes that would fill the memory when it is unpacked."""
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
        with warnings.catch_warnings(action="ignore"):  # about a pickle protocol, which is none of torch's own files
            loaded = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        # torch's own words recommend to load it all the same.
        raise ValueError("objects other than tensors are in them, which are not loaded") from None
    if loaded is None:  # what is saved where there are no variables beside the policy
        return {}
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise ValueError("expected named tensors")
    return {str(name): value.detach() for name, value in loaded.items()}


def _activation(to_metrics: Any, params: Params) -> str | None:
    """The policy's activation by the description's readable part; what is not said there is the default."""
    info = to_metrics.get("policy_kwargs", {}) if isinstance(to_metrics, dict) else {}
    if not isinstance(info, dict):
        return None
    if "activation_fn" not in info:
        return "tanh" if "action_net.weight" in params else "relu"
    name = str(info["activation_fn"]).rpartition(".")[2].rstrip("'>")
    return next((known for known, module in ACTIVATION_MODULES.items() if module.__name__ == name), None)

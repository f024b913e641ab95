"""Where a run's code came from: files of its family and its network, and metarl's commit; recorded in its manifests.

The files are named in errors, and never loaded from there.

A run directory may come from somebody else. So the recorded file is a hint for the user, who may give it as
`--family path/to/module.py:attribute`. A configuration that names a file itself is refused.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from metarl.core.errors import ConfigError, FamilyError, RunError
from metarl.core.imports import is_file_name, is_module_itself
from metarl.runs.manifest import list_checkpoints, read_manifest

FILE = "family_file"
"""Entry of a manifest with the file of the family's module."""

NETWORK_FILE = "network_file"
"""Entry of a manifest with the file of the network's module."""


@cache
def metarl_commit() -> str | None:
    """Commit of the clone that metarl is used from, with "-dirty" where files differ from it.

    None for an installed package, and where git is missing or refuses the clone.
    """
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def recorded_file(run: Path, entry: str = FILE) -> str | None:
    """File of the module that a run's family was imported from; None if no checkpoint has recorded one.

    Args:
        run: The run directory.
        entry: Another entry of the manifests, `NETWORK_FILE`.
    """
    for folder in reversed(list_checkpoints(run).values()):
        try:
            found = read_manifest(folder).get(entry)
        except RunError:
            continue
        return found if isinstance(found, str) else None
    return None


@contextmanager
def naming_source(run: Path, family: str) -> Iterator[None]:
    """Add to an error inside the block, if it is that the module of the run's family is not there, where it was.

    Args:
        run: The run directory.
        family: Name of the family in the run's configuration.
    """
    try:
        yield
    except FamilyError as error:
        module, _, attribute = family.partition(":")
        file = recorded_file(run) if is_module_itself(error.__cause__, module) else None
        if file is None:
            raise
        if "." in module:
            hint = f"set PYTHONPATH={_root(file, module)}, or go there"
        else:
            hint = f"add --family {file}:{attribute}"
        raise FamilyError(f"{error}; in training it was {file}; {hint}") from error.__cause__


def _root(file: str, module: str) -> Path:
    """Folder from which a module in a file is imported."""
    return Path(file).parents[len(module.split(".")) - 1]


@contextmanager
def naming_network(run: Path, network: str | None) -> Iterator[None]:
    """Add to an error inside the block, if it is that the module of the run's network is not there, where it was.

    Args:
        run: The run directory.
        network: Name of the network in the run's configuration.
    """
    try:
        yield
    except ConfigError as error:
        module = (network or "").partition(":")[0]
        file = recorded_file(run, NETWORK_FILE) if module and is_module_itself(error.__cause__, module) else None
        if file is None:
            raise
        hint = f"set PYTHONPATH={_root(file, module)}, or go there"
        raise ConfigError(f"{error}; in training it was {file}; {hint}") from error.__cause__


def check_names_no_file(config: Any, where: str) -> None:
    """Check that a configuration from a run or a saved policy names no file, which would be executed.

    Family and network are named by modules.

    Args:
        config: The configuration.
        where: Start of the error message.

    Raises:
        RunError: It does.
    """
    family = getattr(config, "family", None)
    if isinstance(family, str) and (is_file_name(family) or os.sep in family):
        raise RunError(f"{where}: family = {family!r:.200}; expected a name or module:attribute, not a file")
    network = getattr(getattr(config, "policy", None), "network", None)
    if isinstance(network, str) and (is_file_name(network) or os.sep in network):
        raise RunError(f"{where}: policy.network = {network!r:.200}; expected module:factory, not a file")

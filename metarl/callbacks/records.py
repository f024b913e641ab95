"""Records as flat scalars, for loggers, and what a logger keeps in the run directory. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from metarl.core.errors import ConfigError, RunError
from metarl.runs.durable import replace_file

TRACKING = "tracking.json"
"""File in the run directory with the identities that loggers gave the run, so that a resumed run is the same there."""


def scalars(record: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """The numbers of a record under names with dots; entries without a value are left out.

    Args:
        record: A record of metrics, with numbers, lists and dictionaries.
        prefix: Start of all names.

    Example:
        >>> scalars({"iteration": 2, "return": [-3.0, None], "seconds": {"collect": 0.5}})
        {'iteration': 2, 'return.0': -3.0, 'seconds.collect': 0.5}
    """
    found: dict[str, float] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            found |= scalars(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            found |= scalars({str(i): item for i, item in enumerate(value)}, f"{prefix}{name}.")
        elif isinstance(value, int | float):
            found[prefix + name] = value
    return found


def need(package: str, extra: str) -> None:
    """Check that a package is installed.

    Args:
        package: Name of its module.
        extra: The extra of metarl that installs it.

    Raises:
        ConfigError: It is not; the message names the extra.
    """
    if find_spec(package) is None:
        raise ConfigError(f"logger {extra}: needs {package}; install it with pip install 'metarl-toolkit[{extra}]'")


def recall(run_dir: Path, logger: str) -> Any:
    """What a logger noted about a run by `remember`; None if nothing.

    Args:
        run_dir: The run directory.
        logger: Name of the logger.
    """
    return _noted(run_dir / TRACKING).get(logger)


def remember(run_dir: Path, logger: str, entry: Any) -> None:
    """Note something about a run for the logger's next start.

    Args:
        run_dir: The run directory.
        logger: Name of the logger.
        entry: A value that JSON can represent.

    Raises:
        RunError: The file cannot be written.
    """
    path = run_dir / TRACKING
    try:
        replace_file(path, json.dumps({**_noted(path), logger: entry}, indent=1) + "\n")
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror}") from None


def _noted(path: Path) -> dict[str, Any]:
    if path.is_symlink() or not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}

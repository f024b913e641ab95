"""Loggers by the names that `--log` takes. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from metarl.callbacks.callback import Callback
from metarl.callbacks.csv_logger import CsvLogger
from metarl.callbacks.mlflow_logger import MlflowLogger
from metarl.callbacks.wandb_logger import WandbLogger
from metarl.core.errors import ConfigError, nearest

if TYPE_CHECKING:
    from metarl.callbacks.dispatch import Callbacks

LOGGERS: dict[str, type[Callback]] = {"csv": CsvLogger, "mlflow": MlflowLogger, "wandb": WandbLogger}
"""Loggers beside TensorBoard events and metrics.jsonl, which every run has."""


def loggers(names: Sequence[str]) -> list[Callback]:
    """New loggers for one run.

    Args:
        names: Keys of `LOGGERS`, each once.

    Raises:
        ConfigError: A name is unknown or given twice, or the logger's package is not installed.

    Example:
        >>> [type(logger).__name__ for logger in loggers(["csv"])]
        ['CsvLogger']
    """
    for name in names:
        if name not in LOGGERS:
            raise ConfigError(f"--log = {name}; expected names of loggers{nearest(name, LOGGERS)}")
    if len(set(names)) < len(names):
        raise ConfigError(f"--log = {' '.join(names)}; expected each logger once")
    return [LOGGERS[name]() for name in names]


def logging_to(names: Sequence[str]) -> Callable[[], Callbacks]:
    """A function that makes the callbacks of a run, which are its loggers; the names are checked at once.

    Args:
        names: Keys of `LOGGERS`, each once.

    Raises:
        ConfigError: As for `loggers`.
    """
    loggers(names)

    def callbacks() -> Callbacks:
        from metarl.callbacks.dispatch import Callbacks

        return Callbacks(loggers(names))

    return callbacks

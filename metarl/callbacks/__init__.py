"""Callbacks of a training: the protocol, their calls, and loggers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metarl.core.imports import lazy_door

if TYPE_CHECKING:
    from metarl.callbacks.by_name import LOGGERS as LOGGERS
    from metarl.callbacks.by_name import loggers as loggers
    from metarl.callbacks.by_name import logging_to as logging_to
    from metarl.callbacks.callback import Callback as Callback
    from metarl.callbacks.callback import Outcome as Outcome
    from metarl.callbacks.callback import RunView as RunView
    from metarl.callbacks.csv_logger import CsvLogger as CsvLogger
    from metarl.callbacks.dispatch import AgentMaker as AgentMaker
    from metarl.callbacks.dispatch import Callbacks as Callbacks
    from metarl.callbacks.dispatch import undisturbed as undisturbed
    from metarl.callbacks.mlflow_logger import MlflowLogger as MlflowLogger
    from metarl.callbacks.records import scalars as scalars
    from metarl.callbacks.wandb_logger import WandbLogger as WandbLogger

__getattr__, __dir__, __all__ = lazy_door(
    __name__,
    {
        "metarl.callbacks.by_name": (
            "LOGGERS",
            "loggers",
            "logging_to",
        ),
        "metarl.callbacks.callback": (
            "Callback",
            "Outcome",
            "RunView",
        ),
        "metarl.callbacks.csv_logger": ("CsvLogger",),
        "metarl.callbacks.dispatch": (
            "AgentMaker",
            "Callbacks",
            "undisturbed",
        ),
        "metarl.callbacks.mlflow_logger": ("MlflowLogger",),
        "metarl.callbacks.records": ("scalars",),
        "metarl.callbacks.wandb_logger": ("WandbLogger",),
    },
)

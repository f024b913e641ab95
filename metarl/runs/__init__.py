"""Run directories: configuration, metrics, checkpoints and saved policies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metarl.core.imports import lazy_door

if TYPE_CHECKING:
    from metarl.runs.checkpoint import aligned as aligned
    from metarl.runs.checkpoint import load_newest as load_newest
    from metarl.runs.checkpoint import load_selected as load_selected
    from metarl.runs.checkpoint import prune as prune
    from metarl.runs.checkpoint import save_checkpoint as save_checkpoint
    from metarl.runs.checkpoint import tidy as tidy
    from metarl.runs.directory import METRICS as METRICS
    from metarl.runs.directory import MetricsFile as MetricsFile
    from metarl.runs.directory import RunLock as RunLock
    from metarl.runs.directory import check_free as check_free
    from metarl.runs.directory import check_same as check_same
    from metarl.runs.directory import create as create
    from metarl.runs.directory import holds_run as holds_run
    from metarl.runs.directory import kind_name as kind_name
    from metarl.runs.directory import read_config as read_config
    from metarl.runs.directory import read_metrics as read_metrics
    from metarl.runs.durable import replace_file as replace_file
    from metarl.runs.durable import writing as writing
    from metarl.runs.listing import RunStatus as RunStatus
    from metarl.runs.listing import run_status as run_status
    from metarl.runs.listing import run_statuses as run_statuses
    from metarl.runs.manifest import NUMERICS as NUMERICS
    from metarl.runs.manifest import check_numerics as check_numerics
    from metarl.runs.manifest import data_used as data_used
    from metarl.runs.manifest import list_checkpoints as list_checkpoints
    from metarl.runs.manifest import read_manifest as read_manifest
    from metarl.runs.manifest import recorded_scores as recorded_scores
    from metarl.runs.manifest import scores_of as scores_of
    from metarl.runs.policy_files import SavedPolicy as SavedPolicy
    from metarl.runs.policy_files import read_policy as read_policy
    from metarl.runs.policy_files import write_policy as write_policy
    from metarl.runs.sources import metarl_commit as metarl_commit
    from metarl.runs.sources import naming_network as naming_network
    from metarl.runs.sources import naming_source as naming_source
    from metarl.runs.tensorboard import Events as Events

__getattr__, __dir__, __all__ = lazy_door(
    __name__,
    {
        "metarl.runs.checkpoint": (
            "aligned",
            "load_newest",
            "load_selected",
            "prune",
            "save_checkpoint",
            "tidy",
        ),
        "metarl.runs.directory": (
            "METRICS",
            "MetricsFile",
            "RunLock",
            "check_free",
            "check_same",
            "create",
            "holds_run",
            "kind_name",
            "read_config",
            "read_metrics",
        ),
        "metarl.runs.durable": (
            "replace_file",
            "writing",
        ),
        "metarl.runs.listing": (
            "RunStatus",
            "run_status",
            "run_statuses",
        ),
        "metarl.runs.manifest": (
            "NUMERICS",
            "check_numerics",
            "data_used",
            "list_checkpoints",
            "read_manifest",
            "recorded_scores",
            "scores_of",
        ),
        "metarl.runs.policy_files": (
            "SavedPolicy",
            "read_policy",
            "write_policy",
        ),
        "metarl.runs.sources": ("metarl_commit", "naming_network", "naming_source"),
        "metarl.runs.tensorboard": ("Events",),
    },
)

"""metarl: meta-reinforcement learning on Gymnasium and PyTorch.

Names are loaded when they are first used, so that importing metarl for its command line or its families
costs no torch.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "AnalyticFamily": "metarl.families",
    "DeclaredFamily": "metarl.declared",
    "TaskFamily": "metarl.families",
    "declare_family": "metarl.declared",
    "load_family": "metarl.plugins",
    "MetarlError": "metarl.errors",
    "MamlTrpoConfig": "metarl.config",
    "Agent": "metarl.agent",
    "load": "metarl.agent",
    "evaluate": "metarl.api",
    "train": "metarl.api",
    "resume": "metarl.training",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'metarl' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)

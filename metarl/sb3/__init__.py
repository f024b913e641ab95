"""Stable-Baselines3 both ways: its models as policies of metarl's, metarl's initialisations as its models.

Stable-Baselines3 itself is imported when something here needs it, and reading its files never does.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "export_model": "metarl.sb3.export",
    "read_model": "metarl.sb3.model_files",
    "episodes_of": "metarl.sb3.measuring",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'metarl.sb3' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)

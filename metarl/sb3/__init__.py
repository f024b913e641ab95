"""Conversion between Stable-Baselines3 models and metarl policies, and meta-training around its algorithms.

Stable-Baselines3 is imported on first use; reading its files does not import it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from metarl.core.imports import lazy_door

if TYPE_CHECKING:
    from metarl.sb3.acting import episodes_of as episodes_of
    from metarl.sb3.export import export_model as export_model
    from metarl.sb3.model_files import read_model as read_model
    from metarl.sb3.model_setup import Fixed as Fixed
    from metarl.sb3.model_setup import ModelSetup as ModelSetup
    from metarl.sb3.names import VALUE as VALUE
    from metarl.sb3.names import from_sb3 as from_sb3
    from metarl.sb3.names import is_actor_critic as is_actor_critic
    from metarl.sb3.names import to_sb3 as to_sb3

__getattr__, __dir__, __all__ = lazy_door(
    __name__,
    {
        "metarl.sb3.acting": ("episodes_of",),
        "metarl.sb3.export": ("export_model",),
        "metarl.sb3.model_files": ("read_model",),
        "metarl.sb3.model_setup": (
            "Fixed",
            "ModelSetup",
        ),
        "metarl.sb3.names": (
            "VALUE",
            "from_sb3",
            "is_actor_critic",
            "to_sb3",
        ),
    },
)

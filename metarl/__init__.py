"""metarl: meta-reinforcement learning on Gymnasium and PyTorch.

Names are imported on first use, so that the command line and the families can be imported without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from metarl.core.imports import after_import, lazy_door
from metarl.core.launch import shorten_spin

if TYPE_CHECKING:
    from metarl.agent import Agent as Agent
    from metarl.agent import load as load
    from metarl.api import evaluate as evaluate
    from metarl.api import resume as resume
    from metarl.api import train as train
    from metarl.api import worth as worth
    from metarl.callbacks.callback import Callback as Callback
    from metarl.config.algorithms import MamlTrpoConfig as MamlTrpoConfig
    from metarl.core.errors import MetarlError as MetarlError
    from metarl.families.analytic import AnalyticFamily as AnalyticFamily
    from metarl.families.declared import DeclaredFamily as DeclaredFamily
    from metarl.families.declared import declare_family as declare_family
    from metarl.families.family import TaskFamily as TaskFamily
    from metarl.families.ids.register import register_family as register_family
    from metarl.families.registry import load_family as load_family
    from metarl.memory_agent import MemoryAgent as MemoryAgent
    from metarl.tune_api import tune as tune

__version__ = "0.1.0"

shorten_spin()  # before torch is loaded

__getattr__, __dir__, _names = lazy_door(
    __name__,
    {
        "metarl.agent": ("Agent", "load"),
        "metarl.api": ("evaluate", "resume", "train", "worth"),
        "metarl.callbacks.callback": ("Callback",),
        "metarl.config.algorithms": ("MamlTrpoConfig",),
        "metarl.core.errors": ("MetarlError",),
        "metarl.families.analytic": ("AnalyticFamily",),
        "metarl.families.declared": ("DeclaredFamily", "declare_family"),
        "metarl.families.family": ("TaskFamily",),
        "metarl.families.ids.register": ("register_family",),
        "metarl.families.registry": ("load_family",),
        "metarl.memory_agent": ("MemoryAgent",),
        "metarl.tune_api": ("tune",),
    },
)
__all__ = ["__version__", *_names]


def _register() -> None:
    """Give the families that ship their ids in Gymnasium's registry."""
    from metarl.families.ids.installed import register_shipped

    register_shipped()


after_import("gymnasium", _register)  # not imported here, since commands start without it

"""Networks of your own: what they read, how they are loaded, and how they are stacked over tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metarl.core.imports import lazy_door

if TYPE_CHECKING:
    from metarl.networks.actions import SUPPORTED as SUPPORTED
    from metarl.networks.actions import choices_from as choices_from
    from metarl.networks.actions import described_choices as described_choices
    from metarl.networks.actions import heads_of as heads_of
    from metarl.networks.actions import in_rows as in_rows
    from metarl.networks.actions import in_space as in_space
    from metarl.networks.actions import is_supported as is_supported
    from metarl.networks.actions import one_in_space as one_in_space
    from metarl.networks.actions import starts_of as starts_of
    from metarl.networks.cnn import Cnn as Cnn
    from metarl.networks.factory import CNN as CNN
    from metarl.networks.factory import MLP as MLP
    from metarl.networks.factory import Factory as Factory
    from metarl.networks.factory import chosen_network as chosen_network
    from metarl.networks.factory import file_of_network as file_of_network
    from metarl.networks.factory import load_factory as load_factory
    from metarl.networks.factory import network_name as network_name
    from metarl.networks.layout import Layout as Layout
    from metarl.networks.module import ModuleNetwork as ModuleNetwork
    from metarl.networks.spaces import described as described
    from metarl.networks.spaces import from_description as from_description
    from metarl.networks.spaces import has_bytes as has_bytes
    from metarl.networks.spaces import is_flat as is_flat
    from metarl.networks.spaces import is_image as is_image

__getattr__, __dir__, __all__ = lazy_door(
    __name__,
    {
        "metarl.networks.actions": (
            "SUPPORTED",
            "choices_from",
            "described_choices",
            "heads_of",
            "in_rows",
            "in_space",
            "is_supported",
            "one_in_space",
            "starts_of",
        ),
        "metarl.networks.cnn": ("Cnn",),
        "metarl.networks.factory": (
            "CNN",
            "MLP",
            "Factory",
            "chosen_network",
            "file_of_network",
            "load_factory",
            "network_name",
        ),
        "metarl.networks.layout": ("Layout",),
        "metarl.networks.module": ("ModuleNetwork",),
        "metarl.networks.spaces": ("described", "from_description", "has_bytes", "is_flat", "is_image"),
    },
)

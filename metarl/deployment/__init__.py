"""A policy on a device: acting on single observations, adaptation from recorded steps, files for other runtimes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metarl.core.imports import lazy_door

if TYPE_CHECKING:
    from metarl.deployment.acting import OneTask as OneTask
    from metarl.deployment.acting import as_action as as_action
    from metarl.deployment.acting import as_rows as as_rows
    from metarl.deployment.acting import is_sound as is_sound
    from metarl.deployment.acting import sampled as sampled
    from metarl.deployment.export import SUFFIXES as SUFFIXES
    from metarl.deployment.export import check_format as check_format
    from metarl.deployment.export import export_policy as export_policy
    from metarl.deployment.modules import MemoryPolicyModule as MemoryPolicyModule
    from metarl.deployment.modules import PolicyModule as PolicyModule
    from metarl.deployment.modules import policy_module as policy_module
    from metarl.deployment.recording import Recorder as Recorder
    from metarl.deployment.recording import Unlearnable as Unlearnable
    from metarl.deployment.recording import as_reward as as_reward

__getattr__, __dir__, __all__ = lazy_door(
    __name__,
    {
        "metarl.deployment.acting": ("OneTask", "as_action", "as_rows", "is_sound", "sampled"),
        "metarl.deployment.export": ("SUFFIXES", "check_format", "export_policy"),
        "metarl.deployment.modules": ("MemoryPolicyModule", "PolicyModule", "policy_module"),
        "metarl.deployment.recording": ("Recorder", "Unlearnable", "as_reward"),
    },
)

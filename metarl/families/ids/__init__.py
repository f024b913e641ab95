"""Families as environments of `gymnasium.make`: ids, and environments whose task is given or drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metarl.core.imports import lazy_door

if TYPE_CHECKING:
    from metarl.families.ids.installed import family_id as family_id
    from metarl.families.ids.installed import register_shipped as register_shipped
    from metarl.families.ids.installed import registered as registered
    from metarl.families.ids.register import register_family as register_family
    from metarl.families.ids.task_env import TaskEnv as TaskEnv
    from metarl.families.ids.task_env import make_env as make_env
    from metarl.families.ids.task_vector_env import TaskBatchEnv as TaskBatchEnv
    from metarl.families.ids.task_vector_env import make_vector_env as make_vector_env

__getattr__, __dir__, __all__ = lazy_door(
    __name__,
    {
        "metarl.families.ids.installed": ("family_id", "register_shipped", "registered"),
        "metarl.families.ids.register": ("register_family",),
        "metarl.families.ids.task_env": ("TaskEnv", "make_env"),
        "metarl.families.ids.task_vector_env": ("TaskBatchEnv", "make_vector_env"),
    },
)

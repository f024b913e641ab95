"""An id in Gymnasium's registry for a family of one's own."""

from __future__ import annotations

import re
from typing import Any

import gymnasium

from metarl.core.errors import ConfigError
from metarl.core.imports import import_attribute
from metarl.families.family import TaskFamily
from metarl.families.ids.installed import MODULE
from metarl.families.registry import family_name

ID = re.compile(r"(?:[\w-]+/)?[\w.-]+-v\d+")


def register_family(family: str | TaskFamily, env_id: str) -> None:
    """Register a family under an id for `gymnasium.make` and `gymnasium.make_vec`.

    Args:
        family: The family, or its name as in `load_family`.
        env_id: The id, as namespace/Name-v0.

    Raises:
        ConfigError: It is no id.
        FamilyError: It is neither a family nor a name.

    Example:
        >>> from gymnasium.spaces import Box, Dict
        >>> from metarl.families import declare_family
        >>> swings = declare_family("Pendulum-v1", Dict({"g": Box(5.0, 15.0, ())}), name="swings")
        >>> register_family(swings, "example/Swings-v0")
        >>> gymnasium.make("example/Swings-v0", g=9.0).reset(seed=1)[1]["task"]
        {'g': array(9., dtype=float32)}
    """
    if not ID.fullmatch(env_id):
        raise ConfigError(f"env_id = {env_id!r}; expected an id such as 'lander/Lander-v0'")
    family_name(family)
    gymnasium.register(
        env_id,
        entry_point=_Builder(f"{MODULE}.task_env:make_env", family),
        vector_entry_point=_Builder(f"{MODULE}.task_vector_env:make_vector_env", family),
    )


class _Builder:
    """Builds environments of one family. Gymnasium copies what an id consists of; a copy is this very object.

    Args:
        place: The function that builds, as `module:attribute`; it is imported on first use.
        family: The family, or its name.
    """

    def __init__(self, place: str, family: str | TaskFamily) -> None:
        self._place, self._family = place, family

    def __deepcopy__(self, memo: dict[int, Any]) -> _Builder:
        return self

    def __call__(self, **arguments: Any) -> Any:
        return import_attribute(self._place, self._place, ConfigError)(self._family, **arguments)

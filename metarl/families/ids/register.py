"""An id in Gymnasium's registry for a family of one's own."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import gymnasium

from metarl.core.errors import ConfigError
from metarl.families.family import TaskFamily
from metarl.families.ids.installed import MODULE

ID = re.compile(r"(?:[\w-]+/)?[\w.-]+-v\d+")


def register_family(family: str | TaskFamily, env_id: str) -> None:
    """Register a family under an id for `gymnasium.make` and `gymnasium.make_vec`.

    Args:
        family: The family, or its name as in `load_family`.
        env_id: The id, as namespace/Name-v0.

    Raises:
        ConfigError: It is no id.

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
    # Gymnasium copies the keyword arguments of an id, so a family that is an object is not among them.
    made: dict[str, Any] = {
        name: partial(_made, f"{MODULE}.{place}", family)
        for name, place in (
            ("entry_point", "task_env:make_env"),
            ("vector_entry_point", "task_vector_env:make_vector_env"),
        )
    }
    gymnasium.register(env_id, **made)


def _made(place: str, family: str | TaskFamily, **arguments: Any) -> Any:
    """Build an environment by the function at a place, which is imported on first use."""
    from metarl.core.imports import import_attribute

    return import_attribute(place, place, ConfigError)(family, **arguments)
